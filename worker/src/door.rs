//! The door at which sentinels see whether this worker lives.
//!
//! ```text
//!  sentinel ─connect─► door ─knock─► main loop ─► door ─one line─► sentinel
//! ```
//! The answer comes from the main loop, so that a process whose loop hangs does not answer. It says who answers and no
//! more; it takes nothing.
//! In: connections. Out: [`line`]. Never: answers for a loop that does not. Tests: below.

use shanty_model::id::NodeId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// For the main loop to answer, and for the line to leave.
const PATIENCE: Duration = Duration::from_secs(2);
/// Callers at once: a few sentinels, and some more.
const CALLERS: usize = 32;
/// Between two tries to accept, when the system has no descriptors left.
const AGAIN: Duration = Duration::from_millis(100);

/// A caller that waits for the main loop.
pub(crate) type Knock = oneshot::Sender<()>;

/// What a worker says at its door.
pub(crate) fn line(node: &NodeId, incarnation: &str) -> String {
    format!("shanty-worker {node} {incarnation}\n")
}

/// Binds the door.
///
/// # Errors
/// A text that says what to do.
pub(crate) async fn bind(listen: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(listen).await.map_err(|error| {
        format!("cannot listen on {listen} for sentinels: {error}; choose another `worker.listen`")
    })
}

/// Answers callers for as long as it is polled.
pub(crate) async fn answer(listener: TcpListener, line: String, knocks: mpsc::Sender<Knock>) {
    let (line, callers) = (Arc::<str>::from(line), Arc::new(Semaphore::new(CALLERS)));
    let mut scope = shanty_rt::task::Scope::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot let a caller in");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        scope.reap();
        // One caller too many sees a door that closes.
        let Ok(place) = callers.clone().try_acquire_owned() else { continue };
        let (line, knocks) = (line.clone(), knocks.clone());
        scope.spawn("caller", async move {
            let _place = place;
            let _too_slow = tokio::time::timeout(PATIENCE, serve(stream, &line, &knocks)).await;
        });
    }
}

async fn serve(mut stream: TcpStream, line: &str, knocks: &mpsc::Sender<Knock>) {
    let (knock, answered) = oneshot::channel();
    if knocks.send(knock).await.is_ok() && answered.await.is_ok() {
        // A caller that went away needs no line.
        let _gone = stream.write_all(line.as_bytes()).await;
        let _gone = stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::task::Scope;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn it_answers_when_the_main_loop_does_and_not_before() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (knocks, mut main_loop) = mpsc::channel::<Knock>(1);
        let mut scope = Scope::new();
        scope.spawn("door", answer(listener, line(&"w1".parse().unwrap(), "abc"), knocks));
        let mut caller = TcpStream::connect(address).await.unwrap();
        let mut heard = String::new();
        let early = tokio::time::timeout(Duration::from_millis(100), caller.read_to_string(&mut heard)).await;
        assert!(early.is_err() && heard.is_empty(), "{heard:?}");
        main_loop.recv().await.unwrap().send(()).unwrap();
        caller.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "shanty-worker w1 abc\n");
    }
}
