//! The only spawn: every task has a name and an owner, and its end is never silent.
//!
//! A [`Scope`] owns its tasks: dropping it ends them. A task that panics is logged as an error with its
//! name, and [`Scope::next_end`] tells its owner.
//! Tests: below.

use crate::simulation;
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It returned.
    Returned,
    /// It panicked; the panic was logged.
    Panicked,
    /// It was ended by its owner.
    Aborted,
}

/// An owner of tasks. Dropping it ends them all at their next await.
#[derive(Debug)]
pub struct Scope {
    tasks: JoinSet<&'static str>,
    token: CancellationToken,
}

impl Default for Scope {
    fn default() -> Self {
        Scope::new()
    }
}

impl Scope {
    /// A scope of its own.
    #[must_use]
    pub fn new() -> Scope {
        Scope { tasks: JoinSet::new(), token: CancellationToken::new() }
    }

    /// A scope whose tasks are asked to end when `parent` is cancelled.
    #[must_use]
    pub fn under(parent: &CancellationToken) -> Scope {
        Scope { tasks: JoinSet::new(), token: parent.child_token() }
    }

    /// Asks tasks to end; they decide when.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs `future` as a task of this scope.
    pub fn spawn(&mut self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::Span::current();
        let node = simulation::here();
        let named = async move {
            match node {
                None => future.await,
                Some(node) => simulation::on(node, future).await,
            }
            name
        };
        self.tasks.spawn(named.instrument(span));
    }

    /// Waits for the next task that ends; none when the scope is empty.
    pub async fn next_end(&mut self) -> Option<End> {
        match self.tasks.join_next().await? {
            Ok(_) => Some(End::Returned),
            Err(error) if error.is_panic() => {
                tracing::error!(%error, "task panicked");
                Some(End::Panicked)
            }
            Err(_) => Some(End::Aborted),
        }
    }

    /// Forgets tasks that have ended; for owners that spawn many and wait for none.
    pub fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "task panicked");
            }
        }
    }

    /// Number of tasks that have not been seen to end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no task is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Asks all tasks to end, waits for `patience`, then ends what is left. Answers how many were left.
    pub async fn drain(mut self, patience: Duration) -> usize {
        self.token.cancel();
        let all = async { while self.next_end().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_ok() {
            return 0;
        }
        let left = self.tasks.len();
        self.tasks.shutdown().await;
        left
    }
}

/// Runs work that blocks (file system, host look-ups) off the runtime's threads.
///
/// # Errors
/// When the work panicked.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(name, %error, "blocking work panicked");
        Panicked(name)
    })
}

/// Blocking work that panicked.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0} panicked")]
pub struct Panicked(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_to_the_owner() {
        let mut scope = Scope::new();
        scope.spawn("bad", async { panic!("on purpose") });
        assert_eq!(scope.next_end().await, Some(End::Panicked));
        assert_eq!(scope.next_end().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn drain_asks_first_and_ends_what_does_not_listen() {
        let mut scope = Scope::new();
        let token = scope.token();
        scope.spawn("listens", async move { token.cancelled().await });
        scope.spawn("deaf", std::future::pending());
        assert_eq!(scope.drain(Duration::from_secs(5)).await, 1);
    }
}
