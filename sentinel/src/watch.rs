//! The loop of a sentinel: keys in, log lines and signs of life out.
//!
//! In: [`Config`]. Out: a registration in etcd, lines in the log, READY and WATCHDOG to systemd (from this
//! loop itself, so that a hung sentinel is restarted). Never: decides or deposes.
//! Tests: the systemd test of the tests crate starts it.

use crate::args::Config;
use crate::view::{Change, View};
use futures_util::StreamExt as _;
use sd_notify::NotifyState;
use shanty_model::id::NodeId;
use shanty_rt::coord::{Coord, Etcd, EtcdOptions, Keys, NodeInfo, Registration, Role};
use shanty_rt::{signal, task::Scope};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Life of the registration without renewal.
const TTL: Duration = Duration::from_secs(10);

/// Time between signs of life.
const TICK: Duration = Duration::from_secs(1);

/// Time for the registration to be taken back at the end.
const LEAVE: Duration = Duration::from_secs(3);

pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    let node: NodeId = config.node.parse()?;
    let coord: Arc<dyn Coord> = Arc::new(Etcd::connect(EtcdOptions::new(config.etcd.endpoints))?);
    let keys = Keys::new(&config.cluster);
    let stop = CancellationToken::new();
    let mut scope = Scope::under(&stop);
    let on_signal = stop.clone();
    let mut signals = Scope::new();
    signals.spawn("signals", async move {
        if let Err(error) = signal::cancel_on_signal(on_signal).await {
            tracing::error!(%error, "cannot listen to signals; end this process with SIGKILL");
        }
    });
    let info = NodeInfo {
        node: node.clone(),
        role: Role::Sentinel,
        address: String::new(),
        incarnation: uuid::Uuid::new_v4().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        priority: 0,
    };
    let key = keys.node(Role::Sentinel, &node);
    let keep = Registration::keep(coord.clone(), key, info.to_value(), TTL, scope.token());
    scope.spawn("registration", keep);

    let mut events = coord.watch(keys.root());
    let mut view = View::new(keys);
    let mut tick = tokio::time::interval(TICK);
    tell(&[NotifyState::Ready, NotifyState::Status("waits for etcd")]);
    tracing::info!(%node, cluster = %config.cluster, "sentinel watches; it does not vote or depose yet");
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    view.apply(event).iter().for_each(announce);
                    tell(&[NotifyState::Status(&status(&view))]);
                }
                None => anyhow::bail!("the watch of {} ended; restart the sentinel", config.cluster),
            },
            _ = tick.tick() => tell(&[NotifyState::Watchdog]),
            () = stop.cancelled() => break,
        }
    }
    tell(&[NotifyState::Stopping]);
    scope.drain(LEAVE).await;
    Ok(())
}

fn tell(state: &[NotifyState<'_>]) {
    if std::env::var_os("NOTIFY_SOCKET").is_some()
        && let Err(error) = sd_notify::notify(state)
    {
        tracing::debug!(%error, "systemd cannot be told");
    }
}

fn status(view: &View) -> String {
    let leader = view.leader().unwrap_or("nobody");
    format!("{leader} leads, {} masters, {} workers", view.count(Role::Master), view.count(Role::Worker))
}

fn announce(change: &Change) {
    match change {
        Change::Joined(node) => {
            tracing::info!(node = %node.node, role = ?node.role, address = %node.address, "node joined");
        }
        Change::Restarted(node) => tracing::warn!(node = %node.node, role = ?node.role, "node restarted"),
        Change::Left(node) => tracing::warn!(node = %node.node, role = ?node.role, "node left"),
        Change::Leads(node) => tracing::info!(node = %node, "master leads"),
        Change::NobodyLeads => tracing::warn!("nobody leads"),
    }
}
