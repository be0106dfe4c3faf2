//! A master's life: built, served, shut down.
//!
//! ```text
//!  elector ──(reign)──► leader room: engine, store          API and worker link ──► one listener
//!     └── leadership, members ─────────────────────────────────────┘
//! ```
//! In: a checked configuration, a stop. Out: nothing until it has shut down.
//! Never: reads flags or signals; several masters can live in one process.
//! Tests: with processes in the tests crate.

use crate::ailment;
use crate::api::{Api, Forward, Link, Probe};
use crate::condition::Condition;
use crate::config::{self, Config};
use crate::election::{self, Elector};
use crate::fence::Fenced;
use crate::registry::Registry;
use crate::runtime::{LeaderRoom, Leading};
use crate::server;
use crate::set_back;
use crate::store::{self, Store};
use shanty_proto::v1 as pb;
use shanty_rt::clock;
use shanty_rt::config::{MissingVariable, expand};
use shanty_rt::coord::{self, Coord, Etcd, Memory};
use shanty_rt::pulse::Pulse;
use shanty_rt::systemd::Systemd;
use shanty_rt::task::Scope;
use shanty_rt::tls::{self, Credentials, Gate};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// For the elector to hand leadership over, and for streams to end.
const CLOSING: Duration = Duration::from_secs(8);

/// How long systemd shall wait for the next try at a store that is away.
const PATIENCE: Duration = Duration::from_secs(30);
/// A standby whose part in the election shows no sign of life for this long hangs: its calls have deadlines, which are over
/// by then also where all members of etcd and the store use theirs up.
const HUNG: Duration = Duration::from_secs(30);

/// Why a master cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] config::Invalid),
    /// Its certificates.
    #[error("`master.tls`: {0}")]
    Tls(#[from] tls::Error),
    /// A placeholder in the store's URL.
    #[error("`master.store`: {0}")]
    Placeholder(#[from] MissingVariable),
    /// Its data folder.
    #[error("cannot make the data folder {path}: {source}; choose another with --data")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The addresses of etcd.
    #[error("cannot use etcd: {0}; check `master.etcd.endpoints`")]
    Etcd(#[from] coord::Error),
    /// How to get into etcd.
    #[error("`master.etcd`: {0}")]
    EtcdSettings(#[from] coord::EtcdSettingsError),
    /// Its coordinator.
    #[error(transparent)]
    Coordinator(#[from] coord::TooOld),
    /// Its name.
    #[error(transparent)]
    Name(#[from] coord::NameTaken),
    /// Its listener.
    #[error("{0:#}")]
    Listen(anyhow::Error),
    /// The descriptors for reflection.
    #[error("cannot serve reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `stop` is cancelled and the master has shut down. `ready` is called once, with the address
/// that it listens on.
///
/// # Errors
/// [`Error`] when it cannot begin. A coordinator or a database out of reach is no error: it waits for them.
pub async fn serve(
    config: Config,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr) + Send,
) -> Result<(), Error> {
    serve_under(config, stop, ready, Systemd::default()).await
}

/// The same for a master that is a process of its own, or half of one: `systemd` is told what it does.
///
/// # Errors
/// As [`serve`].
pub async fn serve_under(
    config: Config,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr) + Send,
    systemd: Systemd,
) -> Result<(), Error> {
    config.check()?;
    let credentials = Credentials::open(&config.tls)?;
    let listen = config.listen_on()?;
    let (coord, for_etcd) = connect(&config)?;
    // Before it listens: a master without its store is of no use to anybody, and connections to it would only wait.
    let Some(store) = stop.run_until_cancelled(open_store(&config, &systemd)).await else {
        return Ok(());
    };
    let store = store?;
    let listener = server::bind(listen).map_err(Error::Listen)?;
    let address = listener.local_addr().map_err(|error| Error::Listen(error.into()))?;
    let me = config.node_id()?;
    let advertise = if config.advertise.is_empty() { address.to_string() } else { config.advertise.clone() };

    let registry = Arc::new(Registry::new());
    let leading = Leading::default();
    let condition = Condition::new();
    let options = election::Options {
        disk: Some(condition.disk.clone()),
        priority: config.priority,
        lease_ttl: config.lease_ttl,
        ..election::Options::new(&config.cluster, me.clone(), &advertise)
    };
    let fenced = Arc::new(Fenced::new(store.clone(), options.incarnation.clone()));
    let fencing = fenced.fencing();
    let incarnation = options.incarnation.clone();
    let elector = Elector::new(coord.clone(), fenced.clone(), options);
    let (leadership, members) = (elector.leadership(), elector.members());
    let (mut taken, campaign) = (elector.name_taken(), elector.pulse());
    let mut room = LeaderRoom {
        me: me.clone(),
        store: store.clone(),
        registry: registry.clone(),
        leading: leading.clone(),
        options: config.leader(),
    };

    let streams = CancellationToken::new();
    let link = Link {
        me: me.clone(),
        registry: registry.clone(),
        leadership: leadership.clone(),
        leading: leading.clone(),
        options: config.link(),
        stop: streams.clone(),
        tasks: Arc::default(),
    };
    let (word, ailment) = watch::channel(None);
    let (tell_set_back, set_back) = watch::channel(None);
    let api = Api {
        me: me.clone(),
        cluster: config.cluster.clone(),
        leading: leading.clone(),
        store: store.clone(),
        registry: registry.clone(),
        coord: coord.clone(),
        leadership: leadership.clone(),
        members: members.clone(),
        credentials: credentials.clone(),
        ailment,
        set_back,
        stop: streams.clone(),
    };
    let probe = Probe {
        members,
        me: me.clone(),
        incarnation,
        priority: config.priority,
        condition: condition.clone(),
        leading: leading.clone(),
        leadership: leadership.clone(),
        registry: registry.clone(),
        stop: stop.clone(),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", ServingStatus::NotServing).await;
    let routes = with_reflection(api.routes(link, probe))?.add_service(health_service);
    let service = Forward::new(routes, leading.clone(), leadership.clone(), credentials.clone());

    let mut tasks = Scope::new();
    let quit = CancellationToken::new();
    let gate = Gate::new(credentials.clone());
    tasks.spawn("server", server::serve(listener, gate, service, streams.clone()));
    // It tells health for as long as there is somebody to tell, so nobody waits for its end.
    let mut signs = Scope::new();
    signs
        .spawn("health", tell_health(health, leading.clone(), leadership.clone(), campaign, systemd.clone()));
    let over_tls = credentials.is_some();
    if let Some(credentials) = credentials {
        signs.spawn("certificates", credentials.keep());
    }
    if let Some(for_etcd) = for_etcd {
        signs.spawn("certificates for etcd", for_etcd.keep());
    }
    signs.spawn("condition", condition.keep(fenced, config.data_dir.clone()));
    signs.spawn("ailment", ailment::look(coord.clone(), word));
    let keys = coord::Keys::new(&config.cluster);
    signs.spawn("set back", set_back::look(coord.clone(), keys, fencing, tell_set_back));
    let elector_stop = quit.clone();
    tasks.spawn("elector", async move { elector.run(&mut room, elector_stop).await });
    tracing::info!(node = %me, %address, tls = over_tls, store = store.shown(), "master listening");
    systemd.ready();
    ready(address);

    let mut why = Ok(());
    let too_old = async {
        match coord::greet(coord).await {
            Ok(()) => std::future::pending().await,
            Err(too_old) => too_old,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        Ok(found) = async { taken.wait_for(Option::is_some).await.map(|found| found.clone()) } => {
            why = found.map_or(Ok(()), |found| Err(Error::Name(found)));
        }
        too_old = too_old => why = Err(Error::Coordinator(too_old)),
        // None of these ends by itself: one that does has panicked, and the master cannot go on without it.
        ended = tasks.next_end() => tracing::error!(?ended, "a part of the master ended; shutting down"),
        ended = signs.next_end() => tracing::error!(?ended, "a part of the master ended; shutting down"),
    }
    tracing::info!("shutting down");
    systemd.stopping(CLOSING);
    quit.cancel();
    streams.cancel();
    let left = tasks.drain(CLOSING).await;
    if left > 0 {
        tracing::warn!(left, "parts of the master did not end in time");
    }
    store.close().await;
    why
}

async fn open_store(config: &Config, systemd: &Systemd) -> Result<Store, Error> {
    let url = expand(&config.store_url())?;
    if config.store.is_empty() {
        let folder = &config.data_dir;
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::Folder { path: folder.display().to_string(), source })?;
    }
    let waits = || {
        systemd.starting(PATIENCE);
        systemd.status("waiting for the store".to_owned());
    };
    Ok(Store::open_when_there(&url, store::Options::default(), waits).await?)
}

/// The coordinator, and the certificates that are shown to it.
fn connect(config: &Config) -> Result<(Arc<dyn Coord>, Option<Credentials>), Error> {
    if config.etcd.endpoints.is_empty() {
        return Ok((Arc::new(Memory::new()), None));
    }
    let options = config.etcd.options()?;
    let credentials = options.credentials.clone();
    Ok((Arc::new(Etcd::connect(options)?), credentials))
}

/// Reflection, old and new, over the public services, health and error details.
fn with_reflection(routes: Routes) -> Result<Routes, Error> {
    let builder = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(shanty_proto::PUBLIC_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        for name in public_services() {
            builder = builder.with_service_name(name);
        }
        builder
    };
    Ok(routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}

fn public_services() -> [&'static str; 8] {
    [
        pb::run_service_server::SERVICE_NAME,
        pb::job_service_server::SERVICE_NAME,
        pb::node_service_server::SERVICE_NAME,
        pb::connection_service_server::SERVICE_NAME,
        pb::cluster_service_server::SERVICE_NAME,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
}

/// Keeps the health service and systemd told: `""` once this master knows who leads, `leader` only while it
/// leads. The sign of life is sent when the leading core answers, or when there is none to ask and the election goes on.
async fn tell_health(
    health: HealthReporter,
    leading: Leading,
    leadership: watch::Receiver<election::Leadership>,
    campaign: Arc<Pulse>,
    systemd: Systemd,
) {
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut told = None;
    loop {
        tick.tick().await;
        let core = leading.core().ok();
        let leader = leadership.borrow().leader.clone();
        let alive = match &core {
            Some(core) => core.look(|engine, _| engine.active_runs()).await.ok(),
            None => (campaign.silence(clock::boottime()) < HUNG).then_some(0),
        };
        if alive.is_some() {
            systemd.sign_of_life(clock::boottime());
        }
        let now = (core.is_some(), leader.as_ref().map(|leader| leader.node.clone()), alive);
        if told.as_ref() == Some(&now) {
            continue;
        }
        let serving = |yes| if yes { ServingStatus::Serving } else { ServingStatus::NotServing };
        let usable = core.is_some() || leader.is_some();
        for name in [""].into_iter().chain(public_services().into_iter().take(4)) {
            health.set_service_status(name, serving(usable)).await;
        }
        health.set_service_status("leader", serving(core.is_some())).await;
        systemd.status(match (&core, &leader) {
            (Some(core), _) => format!("leading in term {}, {} runs", core.epoch(), alive.unwrap_or(0)),
            (None, Some(leader)) => format!("standing by for {}", leader.node),
            (None, None) => "waiting for a leader".to_owned(),
        });
        told = Some(now);
    }
}
