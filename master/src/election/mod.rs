//! Election: who leads, and the proof of it.
//!
//! ```text
//!   standby ──leader key gone──► its turn? ──take the key, raise the term──► fence the store ──► reign
//!      ▲                         (turn)              (claim)                   (claim)        (elector)
//!      └──────────── lease gone · superseded · gate silent · resigned · stopped ────────────────┘
//! ```
//! In: a coordinator, a store that can be fenced, a [`Reign`] (all that a leader does). Out: the reign is
//! run while, and only while, this master leads; [`Leadership`] and [`Members`] tell everybody else.
//! Safety never depends on time: leases, nominees and timers decide *when* somebody tries, the term and
//! the store's fence decide *whether* it counts. Revisions are compared, never values.
//! Tests: beside each file; together in `elector_test.rs`, and on a real etcd in the tests crate.

mod claim;
mod elector;
mod fence;
mod mandate;
mod options;
mod renewal;
mod term;
mod turn;
mod view;

pub use elector::{Elector, Reign};
pub use fence::{FenceError, FenceOutcome, FenceStore};
pub use mandate::{Authority, Mandate};
pub use options::Options;
pub use shanty_rt::coord::record::LeaderInfo;
pub use term::{Gates, Term};
pub use view::{Leadership, Members};
