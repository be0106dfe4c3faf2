//! The sentinel: watches masters from a place of its own, and ends the term of a leader that does not work.
//!
//! ```text
//!  masters ──health──► probe ─┐                     ┌─► ballot ──► votes, the end of a term (etcd)
//!  etcd ─────keys────► watch ─┼─► brain (pure) ─────┤
//!  sentinels ────────► peers ─┘   evidence, nominate └─► log, systemd
//! ```
//! A sentinel promotes nobody: it removes the leader key, with the votes of a majority of the configured sentinels in the
//! same transaction, and says who should try first. What makes it safe is the masters' own election.
//!
//! | file | holds |
//! |---|---|
//! | `args` | flags, file, environment |
//! | `picture` | pure: what the keys say, and what changed |
//! | `evidence` | pure: what was seen of each master, and what is reason enough |
//! | `nominate` | pure: who should lead next |
//! | `brain` | pure: whether to vote, and when votes suffice |
//! | `probe` | streams of health from masters; words to the leader about workers and clocks |
//! | `peers` | opinions of other sentinels |
//! | `ballot` | what is done to the coordinator |
//! | `watch` | the loop |
//! | `hand` | from what the brain wants to what the ballot does |
//! | `voice` | what a sentinel says of itself |
//! | `play` | a sentinel whose senses are given, for the tests crate |
#![warn(missing_docs)]

mod args;
mod ballot;
mod brain;
mod evidence;
mod hand;
mod nominate;
mod peers;
mod picture;
#[doc(hidden)]
pub mod play;
mod probe;
mod voice;
mod watch;

pub use args::{Args, Config};

/// Runs a sentinel until SIGTERM or SIGINT.
///
/// # Errors
/// When the configuration is refused, the coordinator's addresses cannot be addresses, or this sentinel is not one of
/// those that vote.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.load()?;
    shanty_rt::telemetry::init(&config.log);
    shanty_rt::daemon::until_signal(async |stop| watch::serve(config, stop).await).await
}
