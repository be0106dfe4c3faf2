//! The worker as a daemon of its own.

use clap::Parser;
use std::process::ExitCode;

/// The worker of a Shanty cluster.
#[derive(Debug, Parser)]
#[command(name = "shanty-worker", version, about)]
struct Cli {
    #[command(flatten)]
    args: shanty_worker::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    match shanty_worker::run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shanty-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
