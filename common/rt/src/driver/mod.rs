//! A driver: the worker-side code of a kind, and the world it sees.
//!
//! ```text
//!   Assign ──► AttemptContext ──► Driver::run ──► Outcome
//!               spec, shard, directives (newest holds), cancel  ▲
//!               emit(partial) ──► numbered, kept until the master has it
//! ```
//! A driver knows no gRPC, no etcd and no configuration of the node but its own; it is tested with a
//! context made in three lines ([`AttemptContext::for_test`]).

mod context;

pub use context::{AttemptContext, AttemptPort, Emitted, StopReason, TestPort};

use futures_util::future::BoxFuture;
use shanty_model::kind::{Kind, Shape};
use std::future::Future;
use std::sync::Arc;

/// How an attempt ended, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done.
    Done,
    /// It was stopped on demand; what it emitted is valid.
    Cancelled,
}

/// Why an attempt failed, and whether another one may help.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DriverError {
    /// Trying again would fail again.
    #[error("{0}")]
    Permanent(String),
    /// Trying again may help.
    #[error("{0}")]
    Transient(String),
}

/// How a worker does one kind.
pub trait Driver: Send + Sync + 'static {
    /// The kind.
    type Kind: Kind;

    /// Names of the databases that it can reach, as this node's configuration calls them.
    fn connections(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does one attempt of one shard. Returns soon after `cx.stopped()`; what it emitted before stays valid.
    fn run(
        &self,
        cx: AttemptContext<Self::Kind>,
    ) -> impl Future<Output = Result<Outcome, DriverError>> + Send;
}

/// Makes one piece of results of two in a row; none where each counts for itself, or one cannot be read.
pub type Join = fn(&[u8], &[u8]) -> Option<Vec<u8>>;

/// A driver of whichever kind: text in, bytes out.
pub trait ErasedDriver: Send + Sync + 'static {
    /// Name of the kind.
    fn kind(&self) -> &'static str;
    /// Shape of the kind.
    fn shape(&self) -> Shape;
    /// Names of the databases that it can reach; see [`Driver::connections`].
    fn connections(&self) -> Vec<String> {
        Vec::new()
    }
    /// How its results are joined; see [`Kind::joined`].
    fn join(&self) -> Join {
        |_, _| None
    }
    /// Does one attempt; see [`Driver::run`]. A spec, shard or directive that cannot be read is a permanent error.
    fn run(&self, port: Arc<dyn AttemptPort>) -> BoxFuture<'static, Result<Outcome, DriverError>>;
}

/// A driver with its type erased: the one place where that happens.
#[derive(Debug)]
pub struct Erased<D>(Arc<D>);

impl<D: Driver> Erased<D> {
    /// Erases `driver`.
    pub fn new(driver: D) -> Erased<D> {
        Erased(Arc::new(driver))
    }
}

impl<D: Driver> ErasedDriver for Erased<D> {
    fn kind(&self) -> &'static str {
        D::Kind::NAME
    }

    fn shape(&self) -> Shape {
        D::Kind::SHAPE
    }

    fn connections(&self) -> Vec<String> {
        self.0.connections()
    }

    fn join(&self) -> Join {
        join::<D::Kind>
    }

    fn run(&self, port: Arc<dyn AttemptPort>) -> BoxFuture<'static, Result<Outcome, DriverError>> {
        let driver = self.0.clone();
        Box::pin(async move {
            let cx = AttemptContext::open(port)?;
            driver.run(cx).await
        })
    }
}

fn join<K: Kind>(older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
    let read = |piece| rmp_serde::from_slice::<K::Partial>(piece).ok();
    rmp_serde::to_vec_named(&K::joined(read(older)?, read(newer)?)?).ok()
}
