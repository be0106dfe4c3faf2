//! Faults done to a real cluster while a load run and a sync go on, and what must hold all the same.
//!
//! ```text
//!  matrix ── Fault ──► trial ──► act (does it, takes it back) ──► stage (masters, sentinels, workers, etcd, databases)
//!                        │                                          ▲
//!                        ├── observer (asks masters, starts runs, reads fences) ── witness (the machine)
//!                        └── History ──► invariants ──► Outcome ──► table (docs/FAULTS.md)
//! ```
//! | file | holds |
//! |---|---|
//! | `stage` | the cluster, its databases, its world |
//! | `fault` | a fault as a value: what is done, how long, what is expected |
//! | `matrix` | all faults, by the rows of the plan of failover |
//! | `act` | how a fault is done and taken back |
//! | `on_etcd` | the same for etcd |
//! | `disk` | a folder whose disk is full, hangs, or takes no writes |
//! | `observer` | what is seen from outside meanwhile |
//! | `witness` | whether the machine itself stood still |
//! | `history`, `invariants` | what was seen, and what must hold |
//! | `pace` | arrivals beside their schedule |
//! | `trial` | one fault from a healed cluster to a healed cluster |
//! | `table` | outcomes as a table |
//! | `noise` | a bad network and a starved sentinel, and nothing else |
//!
//! In: names of faults. Out: [`Outcome`]s. Never: takes a log's word for what happened; calls a row that could not be done
//! here passed.
//! Tests: `tests/tests/t70_faults.rs`.

mod act;
mod disk;
mod fault;
mod history;
mod invariants;
mod matrix;
mod noise;
mod observer;
mod on_etcd;
mod pace;
mod stage;
mod table;
mod trial;
mod witness;

pub use fault::{Act, Disk, Etcd, Fault, Leads, Store, Whom, Worker};
pub use history::{Copied, Fences, History, Load, Sighting, Submit, Term};
pub use invariants::breaches;
pub use matrix::{ABSENT, all, measured, short};
pub use noise::{Heard, noise};
pub use pace::Pace;
pub use stage::Stage;
pub use table::Table;
pub use trial::{Outcome, trial};
