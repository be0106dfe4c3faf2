//! This machine's figures: processors, memory, and this process's own share.
//!
//! In: `/proc` and the cgroup files. Out: [`Telemetry`](shanty_model::telemetry::Telemetry) once a second.
//! Never: decides anything; placement reads the figures on the master.
//!
//! | file | holds |
//! |---|---|
//! | `sampler` | the task that samples |
//! | `cgroup` | limits of cgroup v1 and v2 |

mod cgroup;
mod sampler;

pub(crate) use sampler::{Sampler, keep_sampling};
