//! The master as a daemon of its own.

use clap::Parser;
use std::process::ExitCode;

/// The master of a Shanty cluster.
#[derive(Debug, Parser)]
#[command(name = "shanty-master", version, about)]
struct Cli {
    #[command(flatten)]
    args: shanty_master::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    match shanty_master::run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shanty-master: {error:#}");
            ExitCode::FAILURE
        }
    }
}
