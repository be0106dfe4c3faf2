//! Time and chance of a simulated node, in place of the machine's.
//!
//! A simulation runs many nodes in one thread. What runs inside [`on`] sees its node's clocks through [`crate::clock`] and
//! its node's chance through [`crate::backoff`], tasks begun in a [`Scope`](crate::task::Scope) there do too, and nothing of
//! a node that may not go on proceeds. Outside of a simulation nobody calls it, and all it costs is a look at a
//! thread-local variable. Pacing (`clock::monotonic_ns`) never looks.
//! In: a [`Node`]. Out: futures that live on it. Never: used by a program. Tests: below.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A simulated node.
pub trait Node: Send + Sync + 'static {
    /// Its CLOCK_BOOTTIME.
    fn boottime(&self) -> Duration;

    /// Its wall clock, nanoseconds since 1970.
    fn unix_ns(&self) -> i64;

    /// A number that nobody could guess, were it not for the seed.
    fn random(&self) -> u64;

    /// Whether its tasks may go on; if not, `waker` is woken when they may.
    fn may_go_on(&self, waker: &Waker) -> bool;
}

thread_local! {
    static HERE: RefCell<Option<Arc<dyn Node>>> = const { RefCell::new(None) };
}

/// The node that runs now; none outside of simulations.
pub(crate) fn here() -> Option<Arc<dyn Node>> {
    HERE.try_with(|here| here.borrow().clone()).ok().flatten()
}

/// Asks the node that runs now; none outside of simulations.
pub(crate) fn ask<T>(question: impl FnOnce(&dyn Node) -> T) -> Option<T> {
    HERE.try_with(|here| here.borrow().as_deref().map(question)).ok().flatten()
}

/// Does `work` as `node` would.
pub fn enter<T>(node: &Arc<dyn Node>, work: impl FnOnce() -> T) -> T {
    let _back = Back(HERE.replace(Some(node.clone())));
    work()
}

/// Who ran before, to run again.
struct Back(Option<Arc<dyn Node>>);

impl Drop for Back {
    fn drop(&mut self) {
        HERE.set(self.0.take());
    }
}

/// Runs `future` on `node`.
pub fn on<F: Future>(node: Arc<dyn Node>, future: F) -> On<F> {
    On { node, future: Some(Box::pin(future)) }
}

/// A future on a node. See [`on`].
pub struct On<F> {
    node: Arc<dyn Node>,
    /// There until it is dropped.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for On<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.node.may_go_on(context.waker()) {
            return Poll::Pending;
        }
        let node = self.node.clone();
        match &mut self.future {
            Some(future) => enter(&node, || future.as_mut().poll(context)),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for On<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        enter(&self.node, || drop(future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::task::Scope;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::oneshot;

    #[derive(Default)]
    struct Fixed {
        ms: u64,
        paused: AtomicBool,
        waits: Mutex<Vec<Waker>>,
    }

    impl Node for Fixed {
        fn boottime(&self) -> Duration {
            Duration::from_millis(self.ms)
        }
        fn unix_ns(&self) -> i64 {
            7
        }
        fn random(&self) -> u64 {
            4
        }
        fn may_go_on(&self, waker: &Waker) -> bool {
            let paused = self.paused.load(Ordering::SeqCst);
            if paused {
                self.waits.lock().unwrap().push(waker.clone());
            }
            !paused
        }
    }

    #[tokio::test]
    async fn tasks_see_the_clocks_of_the_node_they_were_begun_on_and_stand_still_with_it() {
        let (one, two) =
            (Arc::new(Fixed { ms: 1, ..Fixed::default() }), Arc::new(Fixed { ms: 2, ..Fixed::default() }));
        let mut scope = Scope::new();
        let (tell_one, told_one) = oneshot::channel();
        let (tell_two, mut told_two) = oneshot::channel();
        let nodes: [Arc<dyn Node>; 2] = [one.clone(), two.clone()];
        enter(&nodes[0], || scope.spawn("one", async { tell_one.send(clock::boottime()).unwrap() }));
        enter(&nodes[1], || {
            let inner = async { tell_two.send((clock::boottime(), clock::unix_ns())).unwrap() };
            scope.spawn("two", inner);
        });
        two.paused.store(true, Ordering::SeqCst);
        assert_eq!(told_one.await.unwrap(), Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert!(told_two.try_recv().is_err(), "its node is paused");
        two.paused.store(false, Ordering::SeqCst);
        two.waits.lock().unwrap().drain(..).for_each(Waker::wake);
        assert_eq!(told_two.await.unwrap(), (Duration::from_millis(2), 7));
        assert!(clock::boottime() > Duration::from_millis(2), "outside, the machine's clock");
    }

    #[test]
    fn what_is_dropped_on_a_node_is_dropped_there() {
        struct Told(Arc<Mutex<Option<Duration>>>);
        impl Drop for Told {
            fn drop(&mut self) {
                *self.0.lock().unwrap() = Some(clock::boottime());
            }
        }
        let seen = Arc::new(Mutex::new(None));
        let told = Told(seen.clone());
        let node = Arc::new(Fixed { ms: 9, ..Fixed::default() });
        drop(on(node, async move {
            let _told = told;
            std::future::pending::<()>().await;
        }));
        assert_eq!(*seen.lock().unwrap(), Some(Duration::from_millis(9)));
    }
}
