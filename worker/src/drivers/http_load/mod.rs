//! The `http_load` driver: sends a stripe of a schedule at an HTTP/1.1 target, to the microsecond.
//!
//! ```text
//!   AttemptContext ⇄ control (async) ──mailbox + eventfd──► load thread 0..L  ⇄ target
//!                          ▲  gather: one Partial a second        │ epoll, own connections, own pacer
//!                          └───────────── deltas, once a second ◄─┘
//! ```
//! | file | holds |
//! |---|---|
//! | `options` | what the node's owner may set |
//! | `control` | the async side: settles, starts threads, hands over plans, emits results |
//! | `share` | what of the load falls to this worker and to each thread (pure) |
//! | `gather` | deltas of all threads → one `Partial` a second (pure) |
//! | `setup` | what all threads share from the start on |
//! | `mailbox` | control → thread |
//! | `message` | thread → control |
//! | `thread` | one load thread: its loop |
//! | `exchange` | one load thread: dialling, writing, reading, ending a request |
//! | `pacer` | which arrivals are this thread's and when they are due (pure) |
//! | `catch_up` | the turns of late arrivals (pure) |
//! | `pool`, `connection` | connections, the idle ones, the ones in flight by deadline |
//! | `slice` | short slices of the processor, for a thread that has instants to keep |
//! | `poller` | epoll, one timer, one eventfd |
//! | `request`, `head`, `chunks`, `response` | bytes to send; where an answer ends (pure) |
//! | `recorder` | counts and times of one thread |
//! | `resolve`, `descriptors` | addresses and limits, checked at the start |
//!
//! In: `Spec`, `Directive`s, stop. Out: `Partial`s. Never: tokio timers on the sending path, allocation per
//! request.
//! Tests: beside each room, and in `worker/tests`.

mod catch_up;
mod chunks;
mod connection;
mod control;
mod descriptors;
mod error;
mod exchange;
mod gather;
mod head;
mod mailbox;
mod message;
mod options;
mod pacer;
mod poller;
mod pool;
mod recorder;
mod request;
mod resolve;
mod response;
mod setup;
mod share;
mod slice;
mod thread;

pub use error::Error;
pub use options::{Options, Spin};

use shanty_model::kind::http_load::HttpLoad;
use shanty_rt::driver::{AttemptContext, Driver, DriverError, Outcome};

/// Loads HTTP/1.1 targets.
#[derive(Debug, Clone, Default)]
pub struct HttpLoadDriver {
    options: Options,
}

impl HttpLoadDriver {
    /// A driver with these options.
    #[must_use]
    pub fn new(options: Options) -> HttpLoadDriver {
        HttpLoadDriver { options }
    }
}

impl Driver for HttpLoadDriver {
    type Kind = HttpLoad;

    async fn run(&self, cx: AttemptContext<HttpLoad>) -> Result<Outcome, DriverError> {
        control::run(&self.options, cx).await
    }
}
