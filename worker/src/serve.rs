//! A worker's life: built, served, drained.
//!
//! ```text
//!  sampler ──► executor ◄──► links (one per master) ◄── roster ◄── configuration, etcd
//! ```
//! In: a checked configuration, drivers, a stop. Out: nothing until it has left.
//! Never: reads files but its ledger, or signals; several workers can live in one process.
//! Tests: with masters in `worker/tests/`.

use crate::config::{self, Config};
use crate::discovery::follow_masters;
use crate::door;
use crate::executor::{self, Executor, Signals};
use crate::ledger::{self, Ledger};
use crate::link::{Face, Feeds, Found, Roster, keep_links};
use crate::resource::{Sampler, keep_sampling};
use shanty_model::telemetry::Telemetry;
use shanty_rt::coord::{Coord, Etcd, EtcdSettingsError, Keys, NodeInfo, Registration, Role, greet};
use shanty_rt::driver::ErasedDriver;
use shanty_rt::systemd::Systemd;
use shanty_rt::task::{self, Scope};
use shanty_rt::tls::{self, Credentials};
use shanty_sync::connection::Registry;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Time to live of a worker's registration.
const REGISTERED: Duration = Duration::from_secs(30);
/// Words of masters that wait for the executor, which takes them at once but when it writes the ledger.
const EVENTS: usize = 256;
/// For the links to let the last messages out, and for the registration to go.
const CLOSING: Duration = Duration::from_secs(2);

/// Why a worker cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] config::Invalid),
    /// Its certificates.
    #[error("`worker.tls`: {0}")]
    Tls(#[from] tls::Error),
    /// Its ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The addresses of etcd.
    #[error("cannot use etcd: {0}; check `worker.etcd.endpoints`")]
    Etcd(#[from] shanty_rt::coord::Error),
    /// How to get into etcd.
    #[error("`worker.etcd`: {0}")]
    EtcdSettings(#[from] EtcdSettingsError),
    /// Its door.
    #[error("{0}")]
    Door(String),
    /// Its name.
    #[error(transparent)]
    NameTaken(#[from] executor::NameTaken),
    /// Something of it panicked, which was logged.
    #[error("cannot go on: {0}")]
    Panicked(#[from] task::Panicked),
}

/// Works until `stop` is cancelled and the worker has left. `ready` is called once: when a master has
/// answered, or when the worker waits for one.
///
/// # Errors
/// [`Error`] when it cannot begin. Masters and etcd out of reach are no error: it waits for them.
pub async fn serve(
    config: Config,
    drivers: Vec<Arc<dyn ErasedDriver>>,
    stop: CancellationToken,
    ready: impl FnOnce() + Send,
) -> Result<(), Error> {
    serve_under(config, drivers, stop, ready, Systemd::default()).await
}

/// The same for a worker that is a process of its own, or half of one: `systemd` is told what it does.
///
/// # Errors
/// As [`serve`].
pub async fn serve_under(
    config: Config,
    drivers: Vec<Arc<dyn ErasedDriver>>,
    stop: CancellationToken,
    ready: impl FnOnce() + Send,
    systemd: Systemd,
) -> Result<(), Error> {
    config.check()?;
    let credentials = Credentials::open(&config.tls)?;
    let host = rustix::system::uname();
    let node = config.node_id(&host.nodename().to_string_lossy())?;
    let (folder, cluster) = (config.data_dir.clone(), config.cluster.clone());
    let ledger = task::blocking("ledger", move || Ledger::open(&folder, &cluster)).await??;
    let (sampler, first) = task::blocking("sampler", || {
        let mut sampler = Sampler::new();
        let first = sampler.sample();
        (sampler, first)
    })
    .await?;
    let connections = Registry::new(config.connections.clone());
    let (door, listener) = open_door(&config).await?;
    let face = Face {
        node: node.clone(),
        incarnation: uuid::Uuid::new_v4().to_string(),
        kinds: drivers.iter().map(|driver| driver.kind().to_owned()).collect(),
        slots: config.slots,
        labels: config.labels.clone(),
        max_rate: config.load.max_rate,
        connections: connection_names(&drivers, &connections),
        door,
    };
    tracing::info!(
        worker = %node, incarnation = face.incarnation, slots = config.slots, max_epoch = %ledger.seen(),
        masters = ?config.static_masters(), etcd = ?config.etcd.endpoints, "worker begins"
    );

    let mut around = Scope::new();
    let mut links = Scope::new();
    let closing = CancellationToken::new();
    let (machine_in, machine) = watch::channel(first);
    around.spawn("sampler", keep_sampling(sampler, machine_in));
    let (knocks_in, knocks) = mpsc::channel(1);
    if let Some(listener) = listener {
        around.spawn("door", door::answer(listener, door::line(&face.node, &face.incarnation), knocks_in));
    }
    let found = match etcd(&config, &mut around)? {
        Some(coord) => coordinate(&mut around, &mut links, coord, &config, &face, &closing),
        None => watch::channel(Found::new()).1,
    };
    if let Some(credentials) = &credentials {
        around.spawn("certificates", credentials.clone().keep());
    }
    let (signals, feeds) = signals(first, &ledger, connections, credentials);
    let (events_in, events) = mpsc::channel(EVENTS);
    let roster = Roster { fixed: config.static_masters().into_iter().collect(), found };
    links.spawn("links", keep_links(roster, face, feeds, events_in, closing.clone()));

    let options = executor::Options {
        node,
        slots: config.slots,
        orphan_limit: config.orphan_limit,
        drain_timeout: config.drain_timeout,
    };
    let executor = Executor::new(options, drivers, ledger, signals, machine, systemd);
    let left = executor.run(events, knocks, stop, ready).await;

    closing.cancel();
    let cut = links.drain(CLOSING).await;
    tracing::info!(cut, "worker has left");
    Ok(left?)
}

/// The door for sentinels, and its address as they see it; empty for none.
async fn open_door(config: &Config) -> Result<(String, Option<TcpListener>), Error> {
    let Some(listen) = config.listen_on()? else { return Ok((String::new(), None)) };
    let listener = door::bind(listen).await.map_err(Error::Door)?;
    let address = listener.local_addr().map_err(|error| Error::Door(error.to_string()))?.to_string();
    Ok((if config.advertise.is_empty() { address } else { config.advertise.clone() }, Some(listener)))
}

/// Names of the databases that the configuration or any of the drivers can reach.
fn connection_names(drivers: &[Arc<dyn ErasedDriver>], configured: &Registry) -> Vec<String> {
    let of_drivers = drivers.iter().flat_map(|driver| driver.connections());
    let names: BTreeSet<String> = of_drivers.chain(configured.names()).collect();
    names.into_iter().collect()
}

fn signals(
    first: Telemetry,
    ledger: &Ledger,
    connections: Registry,
    credentials: Option<Credentials>,
) -> (Signals, Feeds) {
    let (figures_in, figures) = watch::channel(first);
    let (attempts_in, attempts) = watch::channel(0);
    let (seen_in, seen) = watch::channel(ledger.seen());
    let (roused_in, roused) = watch::channel(0);
    let signals = Signals { figures: figures_in, attempts: attempts_in, seen: seen_in, roused: roused_in };
    (signals, Feeds { figures, attempts, seen, connections, credentials, roused })
}

/// The coordinator, if there is one. The certificates that are shown to it are kept up to date.
fn etcd(config: &Config, around: &mut Scope) -> Result<Option<Arc<dyn Coord>>, Error> {
    if config.etcd.endpoints.is_empty() {
        return Ok(None);
    }
    let options = config.etcd.options()?;
    if let Some(credentials) = &options.credentials {
        around.spawn("certificates for etcd", credentials.clone().keep());
    }
    Ok(Some(Arc::new(Etcd::connect(options)?)))
}

/// Registers this worker until `closing` and follows the masters. The registration ends with the links.
fn coordinate(
    around: &mut Scope,
    links: &mut Scope,
    coord: Arc<dyn Coord>,
    config: &Config,
    face: &Face,
    closing: &CancellationToken,
) -> watch::Receiver<Found> {
    let keys = Keys::new(&config.cluster);
    let info = NodeInfo {
        node: face.node.clone(),
        role: Role::Worker,
        address: String::new(),
        incarnation: face.incarnation.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        priority: 0,
    };
    let key = keys.node(Role::Worker, &face.node);
    let registered = Registration::keep(coord.clone(), key, info, REGISTERED, closing.clone());
    links.spawn("registration", async move {
        // Which of the two works is for the masters to say.
        if let Err(taken) = registered.await {
            tracing::warn!(%taken, "this worker is not registered");
        }
    });
    let greeted = coord.clone();
    around.spawn("greeting", async move {
        // It lists masters, no more: the masters themselves refuse to work with it.
        if let Err(too_old) = greet(greeted).await {
            tracing::error!(%too_old, "masters may not be found");
        }
    });
    let (found_in, found) = watch::channel(Found::new());
    around.spawn("discovery", follow_masters(coord, keys.role(Role::Master), found_in));
    found
}
