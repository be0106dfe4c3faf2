//! `shanty dev`: a whole cluster in this process, on SQLite in a folder that stays.
//!
//! | file | holds |
//! |---|---|
//! | `cluster` | the master and the workers: started, watched, stopped |
//! | `holder` | who holds a port |
//!
//! In: flags. Out: a banner on standard output, logs on standard error; runs until Ctrl-C.
//! Tests: `cli/tests/dev.rs`.

mod cluster;
mod holder;

use crate::context::{Context, interrupted, program};
use crate::error::Error;
use crate::exit::Exit;
use crate::quantity;
use cluster::Cluster;
use shanty_sync::connection::{Registry, Settings};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long workers may take to attach before the banner comes without them.
const ATTACH: Duration = Duration::from_secs(10);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(20);

/// Flags of `shanty dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the master listens; port 0 takes a free one
    #[arg(long, default_value = crate::context::DEFAULT_ADDR, value_name = "HOST:PORT")]
    pub(crate) listen: SocketAddr,
    /// Workers in this process; more can attach from outside
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) workers: u32,
    /// Where everything is kept; a second start finds it again
    #[arg(long, default_value = "shanty-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Members of etcd; without, the master coordinates in its own memory
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub(crate) etcd: Vec<String>,
    /// postgres://…, mysql://… or sqlite:///path; default: a SQLite file in the folder
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) store: String,
    /// A database that syncs may name; ${VARIABLE} in the URL is filled in from the environment; repeat for more
    #[arg(long = "connection", value_name = "NAME=URL", value_parser = connection)]
    pub(crate) connections: Vec<(String, Settings)>,
    /// Listen on an address that is not loopback without TLS
    #[arg(long)]
    pub(crate) insecure: bool,
    /// What is logged to standard error, in the form of RUST_LOG
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
}

fn connection(text: &str) -> Result<(String, Settings), String> {
    let (name, url) = text
        .split_once('=')
        .ok_or("write NAME=URL, for example shop=mysql://etl:${SHOP_PW}@127.0.0.1/shop")?;
    let settings = Settings::new(url);
    let one = BTreeMap::from([(name.to_owned(), settings.clone())]);
    Registry::check_settings(&one).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), settings))
}

/// Runs a cluster until Ctrl-C or SIGTERM.
///
/// # Errors
/// When it cannot begin, or a part of it ended by itself.
pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit, Error> {
    shanty_rt::telemetry::init(&args.log);
    can_listen(args.listen)?;
    std::fs::create_dir_all(&args.data).map_err(|error| {
        Error::local(
            format!("cannot make the folder {}: {error}", args.data.display()),
            "choose another: --data DIR",
        )
    })?;
    let began = std::time::Instant::now();
    let mut cluster = Cluster::start(&args);
    let ended = tokio::select! {
        ready = ready(&mut cluster, &args, cx) => ready,
        () = interrupted() => Err(Error::Interrupted),
    };
    match ended {
        Ok(address) => {
            cx.screen.data(&banner(&args, address, began.elapsed(), cx))?;
            tokio::select! {
                failed = cluster.failed() => {
                    cluster.stop().await;
                    Err(failed)
                }
                () = interrupted() => {
                    cx.screen.say("\nstopping; once more ends it at once");
                    tokio::select! {
                        () = cluster.stop() => Ok(Exit::Done),
                        () = interrupted() => Ok(Exit::Interrupted),
                    }
                }
            }
        }
        Err(error) => {
            cluster.stop().await;
            Err(error)
        }
    }
}

/// The address, once the workers are ready too, or are taking their time: they attach later then.
async fn ready(cluster: &mut Cluster, args: &Args, cx: &Context) -> Result<SocketAddr, Error> {
    let address = cluster.listening().await?;
    let there = cx.at(&address.to_string());
    let wanted = usize::try_from(args.workers).unwrap_or(usize::MAX);
    let attached = async {
        while crate::node::workers_ready(&there).await < wanted {
            tokio::time::sleep(LOOK).await;
        }
        Ok(address)
    };
    tokio::select! {
        failed = cluster.failed() => Err(failed),
        attached = tokio::time::timeout(ATTACH, attached) => attached.unwrap_or(Ok(address)),
    }
}

/// Says readably who is in the way; the master itself binds again.
fn can_listen(listen: SocketAddr) -> Result<(), Error> {
    match std::net::TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let who = holder::of(listen.port()).map(|who| format!(" by {who}")).unwrap_or_default();
            Err(Error::local(
                format!("cannot listen on {listen}: the port is taken{who}"),
                format!("take a free one: {} dev --listen {}:0", program(), listen.ip()),
            ))
        }
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Err(Error::local(
            format!("cannot listen on {listen}: this machine has no such address"),
            "listen on this machine: --listen 127.0.0.1:7070",
        )),
        Err(error) => Err(Error::local(
            format!("cannot listen on {listen}: {error}"),
            "choose another address: --listen 127.0.0.1:0",
        )),
    }
}

fn banner(args: &Args, address: SocketAddr, took: Duration, cx: &Context) -> String {
    let paint = cx.screen.out;
    let there = cx.at(&address.to_string());
    let store = match args.store.split_once("://") {
        Some((kind, _)) => kind.to_owned(),
        None => format!("SQLite in {}", args.data.display()),
    };
    let command = |words: &str| format!("  {}", paint.code(&there.command(words)));
    let target = "http://127.0.0.1:8080/";
    let spec = format!(r#"{{"spec":{{"http_load":{{"url":"{target}","rate":2000,"duration":"10s"}}}}}}"#);
    let grpcurl = format!("grpcurl -plaintext -d '{spec}' {address} shanty.v1.RunService/RunAndWatch");
    [
        format!(
            "{} {} with 1 master and {}, {store}; ready after {}; Ctrl-C stops it",
            paint.good("✓"),
            paint.strong(&address.to_string()),
            quantity::things(args.workers, "worker"),
            quantity::time(took)
        ),
        String::new(),
        "From another terminal:".to_owned(),
        format!("  {}", paint.code(&format!("{} target --listen 127.0.0.1:8080", program()))),
        command(&format!("run start --url {target} --rate 2000 --duration 10s --threshold 'p99_ms<50'")),
        command("run list"),
        command("node list"),
        command("api list"),
        format!("  {}", paint.code(&grpcurl)),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_said_with_its_holder_and_the_way_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = can_listen(listener.local_addr().unwrap()).unwrap_err();
        let text = error.lines(crate::screen::Paint(false));
        assert!(
            text.contains("the port is taken by ") && text.contains(&std::process::id().to_string()),
            "{text}"
        );
        assert!(text.contains("--listen 127.0.0.1:0"), "{text}");
    }
}
