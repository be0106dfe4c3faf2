//! `shanty-sentinel`: flags in, exit code out.
//!
//! In: flags, file, environment. Out: [`shanty_sentinel::run`]. Never: anything else.

use clap::Parser;

/// Watches the masters and workers of a Shanty cluster.
#[derive(Parser)]
#[command(name = "shanty-sentinel", version)]
struct Cli {
    #[command(flatten)]
    args: shanty_sentinel::Args,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    shanty_sentinel::run(Cli::parse().args).await
}
