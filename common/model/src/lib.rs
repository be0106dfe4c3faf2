//! The words and rules of Shanty, pure: what master, worker, sentinel, client and tests agree on.
//!
//! In and out: values. Never: tokio, protobuf, files, sockets, or a clock; time, randomness and ids
//! come in as arguments.
//! Tests: beside the code; the simulator drives the same code in `tests/`.
//!
//! | room | holds |
//! |---|---|
//! | [`id`] | names of jobs, runs, shards, attempts and nodes |
//! | [`epoch`] | the master's term as it travels, and the one comparison that matters |
//! | [`state`] | the machines of runs and shards |
//! | [`violation`] | what is wrong with a request, field by field |
//! | [`share`] | exact parts of a whole by weight |
//! | [`rate`] | schedules of arrivals, and who owns which arrival |
//! | [`histogram`] | latencies that merge bucket by bucket |
//! | [`kind`] | the kinds of job: their pure halves |
//! | [`telemetry`] | a worker's figures |
//! | [`witness`] | how workers' word of a leader is counted |
#![warn(missing_docs)]

pub mod epoch;
pub mod histogram;
pub mod id;
pub mod kind;
pub mod rate;
pub mod share;
pub mod state;
pub mod telemetry;
pub mod violation;
pub mod witness;
