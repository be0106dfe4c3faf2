//! A worker for tests, with a driver that does what the test says.

use futures_util::future::BoxFuture;
use shanty_model::kind::Shape;
use shanty_rt::driver::{AttemptPort, DriverError, ErasedDriver, Outcome, StopReason};
use shanty_rt::task::Scope;
use shanty_worker::config::Config;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::master::PATIENCE;

/// How an attempt shall end.
pub(crate) enum Finish {
    With(Result<Outcome, DriverError>),
    Panic,
}

/// An attempt under way in the fake driver.
pub(crate) struct Running {
    pub(crate) port: Arc<dyn AttemptPort>,
    finish: oneshot::Sender<Finish>,
}

impl Running {
    pub(crate) fn finish(self, finish: Finish) {
        assert!(self.finish.send(finish).is_ok(), "the attempt is gone");
    }

    pub(crate) async fn emit(&self, pieces: std::ops::RangeInclusive<u8>) {
        for piece in pieces {
            self.port.emit(vec![piece]).await;
        }
    }

    /// Waits until it is asked to stop.
    pub(crate) async fn stopped(&self) -> StopReason {
        let mut stop = self.port.stop();
        let asked = tokio::time::timeout(PATIENCE, stop.wait_for(Option::is_some)).await;
        asked.expect("not asked to stop in time").unwrap().unwrap()
    }

    pub(crate) fn is_undisturbed(&self) -> bool {
        self.port.stop().borrow().is_none() && !self.finish.is_closed()
    }
}

struct Fake {
    kind: &'static str,
    shape: Shape,
    begun: mpsc::Sender<Running>,
}

impl ErasedDriver for Fake {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn connections(&self) -> Vec<String> {
        match self.shape {
            Shape::Divisible => vec!["shop".to_owned(), "dw".to_owned()],
            _ => Vec::new(),
        }
    }

    fn run(&self, port: Arc<dyn AttemptPort>) -> BoxFuture<'static, Result<Outcome, DriverError>> {
        let begun = self.begun.clone();
        Box::pin(async move {
            let (finish, mut told) = oneshot::channel();
            let mut stop = port.stop();
            assert!(begun.send(Running { port, finish }).await.is_ok());
            tokio::select! {
                biased;
                Ok(told) = &mut told => match told {
                    Finish::With(result) => result,
                    // Past the hook: with RUST_BACKTRACE it looks for names in the program's file for longer than a session
                    // lasts when that file is not in memory, and all of the test is in this thread.
                    Finish::Panic => std::panic::resume_unwind(Box::new("on purpose")),
                },
                _ = stop.wait_for(Option::is_some) => Ok(Outcome::Cancelled),
            }
        })
    }
}

/// A worker under way.
pub(crate) struct Worker {
    pub(crate) stop: CancellationToken,
    begun: mpsc::Receiver<Running>,
    scope: Scope,
}

impl Worker {
    /// Begins one that looks for these masters.
    pub(crate) fn start(folder: &Path, masters: &[String]) -> Worker {
        Worker::with(folder, masters, |_| {})
    }

    /// The same with a changed configuration.
    pub(crate) fn with(folder: &Path, masters: &[String], change: impl FnOnce(&mut Config)) -> Worker {
        let mut config = Config {
            node: "w1".to_owned(),
            masters: masters.to_vec(),
            data_dir: folder.to_owned(),
            slots: 2,
            ..Config::default()
        };
        change(&mut config);
        let (begun_in, begun) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let mut scope = Scope::new();
        let token = stop.clone();
        scope.spawn("worker", async move {
            let load = Fake { kind: "fake", shape: Shape::Rate, begun: begun_in.clone() };
            let data = Fake { kind: "fake_data", shape: Shape::Divisible, begun: begun_in };
            shanty_worker::serve(config, vec![Arc::new(load), Arc::new(data)], token, || {}).await.unwrap();
        });
        Worker { stop, begun, scope }
    }

    /// The next attempt that begins.
    pub(crate) async fn begun(&mut self) -> Running {
        let begun = tokio::time::timeout(PATIENCE, self.begun.recv()).await;
        begun.expect("nothing began in time").expect("the worker is gone")
    }

    /// Whether nothing has begun that was not taken.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.begun.try_recv().is_err()
    }

    /// Asks it to leave and waits until it has.
    pub(crate) async fn leave(self) {
        self.stop.cancel();
        self.left(PATIENCE).await;
    }

    /// Waits until it has left by itself.
    pub(crate) async fn left(mut self, within: Duration) {
        let end = tokio::time::timeout(within, self.scope.next_end()).await;
        assert_eq!(end.expect("the worker did not leave in time"), Some(shanty_rt::task::End::Returned));
    }
}
