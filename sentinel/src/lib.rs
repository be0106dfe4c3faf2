//! The sentinel: watches masters and workers from a place of its own.
//!
//! What there is: it registers in etcd under its own lease and tells in its log who joins, who leaves, who
//! leads. What there is not yet: probes, votes, and the deposition of a leader that holds its lease but
//! does not work. Until then a master's death is noticed by its lease alone.
//!
//! | file | holds |
//! |---|---|
//! | `args` | flags, file, environment |
//! | `view` | pure: what the keys say, and what changed |
//! | `watch` | the loop: keys in, log lines and signs of life out |
#![warn(missing_docs)]

mod args;
mod view;
mod watch;

pub use args::{Args, Config};

/// Runs a sentinel until SIGTERM or SIGINT.
///
/// # Errors
/// When the configuration is refused, or the coordinator's addresses cannot be addresses.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.load()?;
    shanty_rt::telemetry::init(&config.log);
    shanty_rt::daemon::until_signal(async |stop| watch::serve(config, stop).await).await
}
