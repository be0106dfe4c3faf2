//! The runtime: carries out what the engine decides, for as long as a term lasts.
//!
//! ```text
//!   API ── Call ──┐                       ┌─ 1. one store transaction
//!   workers ──────┼─► Core (owner loop) ──┼─ 2. orders to workers, answers to callers
//!   tick ─────────┘    Engine             └─ 3. feeds of those who watch
//! ```
//! A loop turn takes what waits, steps the engine for each, and commits once (group commit). A commit whose fate is unknown is
//! asked for again while the authority lasts; one that the fence refuses ends the term, and the next leader, possibly this
//! process, begins from the store.
//!
//! | file | holds |
//! |---|---|
//! | `call` | what the API asks, and the handle to ask with |
//! | `core` | the owner loop |
//! | `feed` | live views and events of runs for those who watch |
//! | `past` | results of before the term, read beside the loop |
//! | `prune` | history, removed beside the loop |
//! | `reign` | a term from the fence to its end |
//! | `turn` | how much of a queue one turn takes |

mod call;
mod core;
mod feed;
mod past;
mod prune;
mod reign;
mod turn;

pub use call::{Answer, Ask, CoreHandle, Error, Leading, RequestKey, SentinelWord};
pub use feed::{Feeds, RunFeed};
pub use reign::{LeaderOptions, LeaderRoom};
pub use turn::turn;
