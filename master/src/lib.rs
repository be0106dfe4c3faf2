//! The master: keeps jobs and runs, places work on workers, answers the API; one of them leads.
//!
//! | room | holds |
//! |---|---|
//! | [`election`] | who leads, and the proof of it |
//! | [`engine`] | what the leader decides; pure |
//! | [`placement`] | which worker gets how much; pure |
//! | [`runtime`] | carries decisions out, for as long as a term lasts |
//! | [`registry`] | workers' standing streams |
//! | `ailment` | what is the matter with the coordinator |
//! | `condition` | whether this master could do its work |
//! | [`store`] | what must outlive every process |
//! | [`api`] | gRPC in and out |
//! | [`server`] | the listener |
//! | `set_back` | whether the store forgot something before it was fenced |
//! | [`serve`](mod@serve) | a master's life |

mod ailment;
pub mod api;
mod args;
mod condition;
pub mod config;
pub mod election;
pub mod engine;
mod fence;
pub mod placement;
pub mod registry;
pub mod runtime;
mod serve;
pub mod server;
mod set_back;
pub mod store;

pub use args::{Args, run};
pub use config::Config;
pub use serve::{Error, serve, serve_under};
