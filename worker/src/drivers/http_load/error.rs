//! Why an attempt at a load test could not be made or had to end.
//!
//! In: what went wrong. Out: [`DriverError`], which says whether another attempt may help.
//! Tests: in `worker/tests/http_load.rs`.

use shanty_rt::driver::DriverError;
use std::time::Duration;

/// Errors of the driver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec breaks its own rules; a master checks them before.
    #[error("spec refused: {0}")]
    Spec(String),
    /// No address.
    #[error("cannot resolve {host}: {reason}; check the name in the url and this worker's resolver")]
    Resolve {
        /// Host of the url.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No allowed address.
    #[error("target {host} denied: {reason}")]
    Denied {
        /// Host of the url.
        host: String,
        /// Why.
        reason: String,
    },
    /// More arrivals than this worker may send.
    #[error(
        "this worker's share comes to {asked:.0}/s, over its cap of {cap:.0}/s; raise load.max_rate on the worker or add workers"
    )]
    OverRate {
        /// Arrivals per second asked of this worker.
        asked: f64,
        /// Most it may send.
        cap: f64,
    },
    /// More connections than this worker may open.
    #[error(
        "this worker's share comes to {asked} connections, over its cap of {cap}; raise load.max_connections on the worker or add workers"
    )]
    OverConnections {
        /// Connections asked of this worker.
        asked: u32,
        /// Most it may open.
        cap: u32,
    },
    /// More descriptors than the process may have.
    #[error(
        "{needed} file descriptors are needed and this process may have {limit}; raise LimitNOFILE in the unit or ulimit -n"
    )]
    Descriptors {
        /// Descriptors needed.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// A directive turned an open loop into a closed one or back.
    #[error("the new directive changes an open loop into a closed one or back, which a run cannot do")]
    LoopChanged,
    /// A load thread could not be set up.
    #[error("cannot start a load thread: {0}")]
    Start(std::io::Error),
    /// A load thread panicked.
    #[error("load thread {0} panicked; its message is in this worker's log")]
    Died(usize),
    /// The process stood still, and what it would send now others have sent.
    #[error("this process was paused for {:.1} s; others have its share", .0.as_secs_f64())]
    Paused(Duration),
}

impl From<Error> for DriverError {
    fn from(error: Error) -> DriverError {
        match error {
            Error::Spec(_)
            | Error::Resolve { .. }
            | Error::Denied { .. }
            | Error::OverRate { .. }
            | Error::OverConnections { .. }
            | Error::Descriptors { .. }
            | Error::LoopChanged
            | Error::Died(_) => DriverError::Permanent(error.to_string()),
            Error::Start(_) | Error::Paused(_) => DriverError::Transient(error.to_string()),
        }
    }
}
