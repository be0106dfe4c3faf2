//! `shanty`: the client, and a whole cluster on one machine.
//!
//! In: words. Out: data on standard output, everything else on standard error, an exit code.
//! One file per noun. Tests: beside each file, and `cli/tests/`.

mod args;
mod call;
mod client;
mod cluster;
mod connect;
mod connection;
mod context;
mod daemon;
mod demo;
mod dev;
mod error;
mod exit;
mod explain;
mod grid;
mod import;
mod job;
mod json;
mod node;
mod quantity;
mod report;
mod run;
mod screen;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use clap::{CommandFactory as _, Parser as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    demo::crew::end_with_parent();
    let cli = Cli::parse();
    let cx = Context::new(&cli.global);
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(dispatch(cli.command, &cx)),
        Err(error) => Err(Error::local(
            format!("cannot start threads: {error}"),
            "look at the limits of this shell: ulimit -a",
        )),
    };
    let exit = ended.unwrap_or_else(|error| {
        let text = error.lines(cx.screen.err);
        if !text.is_empty() {
            cx.screen.say(&text);
        }
        error.exit()
    });
    ExitCode::from(exit.code())
}

async fn dispatch(command: Command, cx: &Context) -> Result<Exit, Error> {
    match command {
        Command::Run(verb) => Box::pin(run::run(verb, cx)).await,
        Command::Job(verb) => Box::pin(job::run(verb, cx)).await,
        Command::Connection(verb) => connection::run(verb, cx).await,
        Command::Import(verb) => Box::pin(import::run(verb, cx)).await,
        Command::Node(verb) => node::run(verb, cx).await,
        Command::Cluster(verb) => cluster::run(verb, cx).await,
        Command::Call(args) => Box::pin(call::run(args, cx)).await,
        Command::Api(verb) => call::api::run(verb, cx).await,
        Command::Demo(args) => Box::pin(demo::run(args, cx)).await,
        Command::Dev(args) => Box::pin(dev::run(args, cx)).await,
        Command::Master(args) => Box::pin(daemon::master(*args)).await,
        Command::Worker(args) => Box::pin(daemon::worker(*args)).await,
        Command::Sentinel(args) => daemon::sentinel(*args).await,
        Command::Target(args) => demo::target::run(args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "shanty", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}
