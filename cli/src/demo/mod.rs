//! `shanty demo`: a cluster of child processes, a load test or a copy on it, a killed worker or leader on the way, a
//! report, and nothing left behind.
//!
//! | file | holds |
//! |---|---|
//! | `crew` | child processes that end with this one |
//! | `ports` | free ports |
//! | `target` | the HTTP server that is tested |
//! | `stage` | the cluster that every story is told on |
//! | `story` | a load test, step by step |
//! | `sync` | a copy of two tables, step by step |
//! | `shop` | the tables that are copied |
//! | `failover` | a load test whose leader is killed, step by step |
//! | `fleet` | what a failover needs: etcd, three masters, three sentinels |
//! | `timeline` | how a term ended and the next one began, on the clock of the fault |
//! | `arrivals` | what came to the target around an instant |
//!
//! In: flags. Out: the story on standard error, the report on standard output.
//! Tests: `cli/tests/demo.rs`.

mod arrivals;
pub(crate) mod crew;
mod failover;
mod fleet;
mod ports;
mod shop;
mod stage;
mod story;
mod sync;
pub(crate) mod target;
mod timeline;

use crate::context::{Context, interrupted};
use crate::error::Error;
use crate::exit::Exit;
use crew::Crew;

/// Flags of the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the cluster up, and say how to stop it
    #[arg(long)]
    keep: bool,
    /// What the cluster is shown doing
    #[arg(long, value_enum, default_value = "load")]
    kind: Kind,
}

/// What the cluster is shown doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A distributed load test
    Load,
    /// Two tables copied by three workers
    Sync,
    /// A load test whose leader is killed; needs etcd on this machine
    Failover,
}

/// Shows it.
///
/// # Errors
/// Says what did not start or answer.
pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit, Error> {
    let mut crew = Crew::gather(args.keep)?;
    let story = async {
        match args.kind {
            Kind::Load => story::load(cx, &mut crew, args.keep).await,
            Kind::Sync => sync::tell(cx, &mut crew, args.keep).await,
            Kind::Failover => failover::tell(cx, &mut crew, args.keep).await,
        }
    };
    let told = tokio::select! {
        told = story => told,
        () = interrupted() => Err(Error::Interrupted),
    };
    match told {
        Ok(ended) if args.keep => {
            cx.screen.say(&ended.go_on(cx));
            let stop = crew.leave();
            cx.screen.say(&format!("\nThe cluster stays up. Stop it with:\n  {}", cx.screen.err.code(&stop)));
            Ok(ended.exit)
        }
        Ok(ended) => {
            crew.dismiss().await;
            cx.screen.say(&ended.go_on(cx));
            Ok(ended.exit)
        }
        Err(error) => {
            crew.dismiss().await;
            Err(error)
        }
    }
}
