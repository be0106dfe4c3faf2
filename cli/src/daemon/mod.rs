//! `shanty master`, `shanty worker`, `shanty sentinel`: the daemons under this program's name, alone or two in one
//! process.
//!
//! ```text
//!  shanty worker  ([worker] eligible = true)        ─┐
//!  shanty master  ([master] embedded_worker = true) ─┴─► both: a worker and a master beside it
//! ```
//! | file | holds |
//! |---|---|
//! | `both` | what the two are told: the file's two tables, and what one leaves open for the other |
//! | `live` | their life in one process |
//!
//! Only this program knows both crates; `shanty-master` and `shanty-worker` hold one each, and refuse to be both.
//! In: flags, file, environment. Out: an exit after everything has left.
//! Tests: beside each file; as processes in `tests/tests/t23_both.rs`.

mod both;
mod live;

use crate::error::Error;
use crate::exit::Exit;
use both::Both;
use shanty_rt::{daemon, telemetry};

/// Runs a master, with a worker beside it when it is told so.
///
/// # Errors
/// When it cannot begin.
pub(crate) async fn master(args: shanty_master::Args) -> Result<Exit, Error> {
    ended("master", as_master(args).await)
}

/// Runs a worker, with a master beside it when it is told so.
///
/// # Errors
/// When it cannot begin.
pub(crate) async fn worker(args: shanty_worker::Args) -> Result<Exit, Error> {
    ended("worker", as_worker(args).await)
}

/// Runs a sentinel.
///
/// # Errors
/// When it cannot begin.
pub(crate) async fn sentinel(args: shanty_sentinel::Args) -> Result<Exit, Error> {
    ended("sentinel", Box::pin(shanty_sentinel::run(args)).await)
}

async fn as_master(args: shanty_master::Args) -> anyhow::Result<()> {
    let mut master = args.load(daemon::environment())?;
    if !master.value.embedded_worker {
        return Box::pin(shanty_master::run(args)).await;
    }
    let beside = shanty_worker::Args { config: args.config.clone(), ..shanty_worker::Args::default() };
    let worker = beside.load(daemon::environment())?;
    let shown = args.dump_config.then(|| format!("{}{}", master.show(), worker.show()));
    let origin = master.origin("master.data_dir");
    master.value.data_dir = daemon::data_folder(master.value.data_dir.clone(), origin);
    let log = master.value.log.clone();
    run(Both::of_master(master, worker)?, &log, shown).await
}

async fn as_worker(args: shanty_worker::Args) -> anyhow::Result<()> {
    let mut worker = args.load(daemon::environment())?;
    if !worker.value.eligible {
        return Box::pin(shanty_worker::run(args)).await;
    }
    let beside = shanty_master::Args { config: args.config.clone(), ..shanty_master::Args::default() };
    let master = beside.load(daemon::environment())?;
    let shown = args.dump_config.then(|| format!("{}{}", worker.show(), master.show()));
    let host = rustix::system::uname();
    let origin = worker.origin("worker.data_dir");
    worker.value.data_dir = daemon::data_folder(worker.value.data_dir.clone(), origin);
    let log = worker.value.log.clone();
    run(Both::of_worker(worker, master, &host.nodename().to_string_lossy())?, &log, shown).await
}

/// Runs both, or prints what they would be told.
async fn run(both: Both, log: &str, shown: Option<String>) -> anyhow::Result<()> {
    if let Some(shown) = shown {
        println!("{shown}{}", both.show_filled());
        return Ok(());
    }
    telemetry::init(log);
    daemon::until_signal(async |stop| Box::pin(live::live(both, stop)).await).await
}

/// The end of a daemon that was run under this program's name.
fn ended(name: &str, ended: anyhow::Result<()>) -> Result<Exit, Error> {
    ended.map(|()| Exit::Done).map_err(|error| {
        Error::local(format!("{name}: {error:#}"), format!("look at its flags: shanty {name} --help"))
    })
}
