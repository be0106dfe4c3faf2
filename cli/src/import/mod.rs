//! `shanty import …`: jobs from other programs' definitions, a folder per program.
//!
//! In: the other program's files and tables. Out: jobs.
//! Tests: in the folders, and `cli/tests/sync.rs`.

mod goshift;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// What to import from.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make a job of each row of goshift's task table, and a configuration of its connections
    Goshift(Box<goshift::Args>),
}

/// Does it.
///
/// # Errors
/// Says all that is wrong; nothing was made then.
pub(crate) async fn run(verb: Verb, cx: &Context) -> Result<Exit, Error> {
    match verb {
        Verb::Goshift(args) => goshift::run(*args, cx).await,
    }
}
