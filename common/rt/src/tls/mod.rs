//! TLS between nodes and for clients: both ends show a certificate, and both check the other's.
//!
//! ```text
//!  three files ──► Material (checked) ──► Credentials ──┬─► Gate: connections come in     (master, sentinel)
//!       ╰── looked at every 2 s ─────────────╯          └─► connect: connections go out   (all of them)
//! ```
//! New connections use the newest certificates; those that stand are left alone, so that a rotation drops no stream.
//! In: paths of a certificate, its key, and the authority that signs everybody's. Out: streams and channels.
//! Never: a plaintext connection where certificates were given; certificates that were not checked.
//! Whoever holds a certificate of the authority may do everything: there are no users.
//! Tests: beside the code; between processes in `tests/tests/t25_tls.rs`.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | the paths, as configured |
//! | `args` | the same as flags of the command line |
//! | `material` | what the files hold, checked before use |
//! | `credentials` | the newest material, kept up to date |
//! | `expiry` | how much time is left, and when to say so |
//! | `gate` | connections that come in |
//! | `connect` | connections that go out |
//! | `stream` | a connection that came in, with TLS or without |
//! | `words` | why a handshake failed, and what to do |

mod args;
#[cfg(test)]
mod authority_test;
mod connect;
mod credentials;
mod expiry;
mod gate;
mod material;
mod settings;
mod stream;
mod words;

pub use args::Args;
pub use connect::{connect, connect_lazy, endpoint};
pub use credentials::Credentials;
pub use expiry::{Reminder, remaining};
pub use gate::Gate;
pub use material::Error;
pub use settings::{Incomplete, Settings};
pub use stream::Stream;
pub use words::Refusal;
