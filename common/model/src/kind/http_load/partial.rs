//! One second of one worker: what an attempt reports.

use crate::histogram::Latencies;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Why a request came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The target refused the connection.
    ConnectRefused,
    /// The connection could not be made for another reason.
    ConnectFailed,
    /// The connection was not made in time.
    ConnectTimeout,
    /// The address is not allowed.
    TargetDenied,
    /// The generator ran out of local ports or descriptors: its fault, not the target's.
    LocalExhausted,
    /// No whole answer within the timeout.
    Timeout,
    /// Every connection was busy until the timeout.
    NoConnection,
    /// The target closed the connection before the answer was whole.
    EarlyClose,
    /// The connection was reset.
    Reset,
    /// The answer is not HTTP/1.1, or breaks its rules.
    Malformed,
    /// The answer's head is larger than 64 KiB.
    HeadTooLarge,
    /// The run was stopped before the answer was whole.
    Stopped,
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [ErrorClass; 12] = [
        ErrorClass::ConnectRefused,
        ErrorClass::ConnectFailed,
        ErrorClass::ConnectTimeout,
        ErrorClass::TargetDenied,
        ErrorClass::LocalExhausted,
        ErrorClass::Timeout,
        ErrorClass::NoConnection,
        ErrorClass::EarlyClose,
        ErrorClass::Reset,
        ErrorClass::Malformed,
        ErrorClass::HeadTooLarge,
        ErrorClass::Stopped,
    ];

    /// The class as reports show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::ConnectRefused => "connect_refused",
            ErrorClass::ConnectFailed => "connect_failed",
            ErrorClass::ConnectTimeout => "connect_timeout",
            ErrorClass::TargetDenied => "target_denied",
            ErrorClass::LocalExhausted => "local_exhausted",
            ErrorClass::Timeout => "timeout",
            ErrorClass::NoConnection => "no_connection",
            ErrorClass::EarlyClose => "early_close",
            ErrorClass::Reset => "reset",
            ErrorClass::Malformed => "malformed",
            ErrorClass::HeadTooLarge => "head_too_large",
            ErrorClass::Stopped => "stopped",
        }
    }

    /// Whether no connection was made: the target cannot be reached.
    #[must_use]
    pub fn is_connect(self) -> bool {
        matches!(
            self,
            ErrorClass::ConnectRefused
                | ErrorClass::ConnectFailed
                | ErrorClass::ConnectTimeout
                | ErrorClass::TargetDenied
        )
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one attempt did in one second of the run. The first report may cover less than a second, and a
/// last one carries what came in after the end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Partial {
    /// Second of the run, from 0.
    pub second: u32,
    /// Whether it lies in the warm-up: counted for progress, not in the result.
    pub warm_up: bool,
    /// Every arrival of this shard that was due before this instant is accounted for in this report or an
    /// earlier one: sent or dropped; those that a change told late moved follow in a later one. Nanoseconds since the run's
    /// start.
    pub covered_ns: u64,
    /// Requests sent, those that failed to connect included.
    pub sent: u64,
    /// Answers received whole.
    pub completed: u64,
    /// Requests that came to nothing, by class.
    pub errors: BTreeMap<ErrorClass, u64>,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Arrivals not sent because the generator was too late for them.
    pub dropped: u64,
    /// Requests sent although others had this share by then: this worker heard of a change late.
    #[serde(default)]
    pub astray: u64,
    /// Arrivals that found every connection busy and waited.
    pub waited: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// From the intended start to the last byte of the answer.
    pub response: Latencies,
    /// From the send to the last byte of the answer.
    pub service: Latencies,
    /// From the intended start to the generator's turn.
    pub lateness: Latencies,
    /// Which engine sent the requests.
    pub engine: String,
}

impl Partial {
    /// Requests that came to nothing.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}
