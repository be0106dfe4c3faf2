//! A load test from flags.
//!
//! In: flags. Out: a `JobSpec`. Never: checks what the cluster checks.
//! Tests: in the folder's `mod`.

use super::unreadable;
use crate::error::Error;
use crate::quantity;
use clap::Args;
use shanty_proto::v1;
use std::time::Duration;

/// Flags of a load test.
#[derive(Debug, Clone, Args)]
#[group(id = "Load", multiple = true, conflicts_with = "Sync")]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Target, http://HOST:PORT/PATH
    #[arg(long, required_unless_present_any = ["file", "Sync"])]
    url: Option<String>,
    /// Open loop: arrivals per second over all workers together (0.5, 2000, 10k)
    #[arg(long, value_parser = quantity::amount, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// How long requests are sent, warm-up included (10s, 1m30s)
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// Closed loop: this many connections, each sends again when it has its answer
    #[arg(long)]
    connections: Option<u32>,
    /// A stage RATE:TIME of a schedule, ~RATE:TIME for a ramp; repeat for more
    #[arg(long, value_parser = quantity::stage, value_name = "STAGE")]
    stage: Vec<v1::LoadStage>,
    /// Random gaps as of independent users instead of equal ones
    #[arg(long)]
    poisson: bool,
    /// Seed of the random gaps
    #[arg(long)]
    seed: Option<u32>,
    /// Open loop: most connections over all workers together
    #[arg(long)]
    max_connections: Option<u32>,
    /// HTTP method
    #[arg(long)]
    method: Option<String>,
    /// A request header NAME: VALUE; repeat for more
    #[arg(long, short = 'H', value_parser = quantity::header, value_name = "HEADER")]
    header: Vec<(String, String)>,
    /// Request body
    #[arg(long, conflicts_with = "body_file", value_name = "TEXT")]
    body: Option<String>,
    /// Request body from a file, as it is
    #[arg(long, value_name = "FILE")]
    body_file: Option<std::path::PathBuf>,
    /// A request without an answer after this counts as a timeout error
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    timeout_request: Option<Duration>,
    /// A new connection for every request
    #[arg(long)]
    no_keep_alive: bool,
    /// Send but do not measure at the beginning
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    warm_up: Option<Duration>,
    /// A condition on the result, for example 'p99_ms<50' or 'error_rate<0.01'; repeat for more
    #[arg(long, value_name = "CONDITION")]
    threshold: Vec<String>,
}

impl LoadArgs {
    pub(super) fn spec(self) -> Result<v1::JobSpec, Error> {
        use v1::http_load_spec::Body;
        let body = match (self.body, self.body_file) {
            (Some(text), _) => Some(Body::Text(text)),
            (None, Some(path)) => {
                let bytes =
                    std::fs::read(&path).map_err(|error| unreadable(&path.display().to_string(), &error))?;
                Some(match String::from_utf8(bytes) {
                    Ok(text) => Body::Text(text),
                    Err(binary) => Body::Raw(binary.into_bytes()),
                })
            }
            (None, None) => None,
        };
        let load = v1::HttpLoadSpec {
            url: self.url.unwrap_or_default(),
            method: self.method.unwrap_or_default(),
            headers: self.header.into_iter().collect(),
            rate: self.rate.unwrap_or_default(),
            duration: self.duration.map(quantity::proto_duration),
            stages: self.stage,
            arrivals: if self.poisson { v1::Arrivals::Poisson } else { v1::Arrivals::Unspecified }.into(),
            seed: self.seed.unwrap_or_default(),
            connections: self.connections.unwrap_or_default(),
            max_connections: self.max_connections.unwrap_or_default(),
            timeout: self.timeout_request.map(quantity::proto_duration),
            keep_alive: self.no_keep_alive.then_some(false),
            warm_up: self.warm_up.map(quantity::proto_duration),
            thresholds: self.threshold,
            body,
        };
        Ok(v1::JobSpec { kind: Some(v1::job_spec::Kind::HttpLoad(load)) })
    }
}
