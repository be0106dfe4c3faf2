//! What every process of Shanty stands on: coordination, drivers, tasks, configuration, telemetry.
//!
//! | room | holds |
//! |---|---|
//! | [`clock`] | monotonic and wall time, once for all |
//! | [`coord`] | leases, transactions and watches: etcd or memory |
//! | [`driver`] | the worker-side code of a kind, and the world it sees |
//! | [`wire`] | protobuf ⇄ model |
//! | [`config`] | defaults < file < environment < flags, with the origin of each value |
//! | [`task`] | the only spawn |
//! | [`telemetry`] | logging |
//! | [`tls`] | certificates, and connections under them |
//! | [`signal`] | SIGTERM and SIGINT |
//! | [`pulse`] | the last sign of life of something |
//! | [`systemd`] | what systemd is told |
//! | [`daemon`] | what every daemon does with its process |
//! | [`backoff`] | how long to wait before trying again |
//! | [`cause`] | what the system said below an error |
//! | `simulation` | time and chance of simulated nodes, for the tests crate |
#![warn(missing_docs)]

pub mod backoff;
pub mod cause;
pub mod clock;
pub mod config;
pub mod coord;
pub mod daemon;
pub mod driver;
pub mod pulse;
pub mod signal;
#[doc(hidden)]
pub mod simulation;
pub mod systemd;
pub mod task;
pub mod telemetry;
pub mod tls;
pub mod wire;
