//! The registry: workers' standing streams, whoever leads.
//!
//! ```text
//!  link (gRPC) ──attach──► Sessions ──► sink of the leader's core, when there is one
//!       ▲                     │
//!       └────── outbox ◄──send┘         newest incarnation wins; an older stream is closed
//! ```
//! In: what workers say, as engine values. Out: the same to the leading core; orders to workers.
//! Never: decides; holds protobuf.
//! Tests: below.

mod sessions;

pub use sessions::{Finding, NameTaken, Outbound, Registry, SessionId, WorkerEvent};
