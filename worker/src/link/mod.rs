//! The link: one standing stream per master, whoever leads.
//!
//! ```text
//!  roster (configured, found in etcd) ──► standing (one per address) ──► session (one per stream)
//!                                          reconnects, spread out          Hello, Welcome, heartbeats
//!  executor ◄── Event ── session        executor ── Said ──► Outbound ──► session
//! ```
//! In: what the executor says ([`Said`]). Out: what masters say ([`Heard`]), with the attempt's start already
//! on this machine's clock.
//! Never: decides who leads, or waits for room in an outbound channel while it reads.
//!
//! | file | holds |
//! |---|---|
//! | `message` | the words of the link, without protobuf |
//! | `wire` | protobuf ⇄ those words: the only place with generated types besides `session` |
//! | `offset` | the master's clock on ours |
//! | `outbound` | the bounded way out of a session |
//! | `session` | one stream from Hello to its end |
//! | `standing` | sessions one after the other with one address |
//! | `roster` | which addresses there are |
//! | `claims` | one session per master, by whichever of its addresses |

mod claims;
mod message;
mod offset;
mod outbound;
mod roster;
mod session;
mod standing;
mod wire;

pub(crate) use message::{
    Assign, Attached, Cancel, Change, End, EndKind, Event, Heard, Held, Progress, Said, SessionId, Update,
};
pub(crate) use outbound::Outbound;
#[cfg(test)]
pub(crate) use outbound::way_out;
pub(crate) use roster::{Found, Roster, keep_links};
pub(crate) use session::{Face, Feeds};
