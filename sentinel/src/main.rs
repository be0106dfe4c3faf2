//! `shanty-sentinel`: flags in, exit code out.
//!
//! In: flags, file, environment. Out: [`shanty_sentinel::run`]. Never: anything else.

use clap::Parser;
use std::process::ExitCode;

/// Watches the masters and workers of a Shanty cluster.
#[derive(Parser)]
#[command(name = "shanty-sentinel", version)]
struct Cli {
    #[command(flatten)]
    args: shanty_sentinel::Args,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match shanty_sentinel::run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shanty-sentinel: {error:#}");
            ExitCode::FAILURE
        }
    }
}
