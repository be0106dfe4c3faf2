//! The loop of a sentinel: keys in, log lines and signs of life out.
//!
//! In: [`Config`]. Out: a registration in etcd, lines in the log, READY and WATCHDOG to systemd (from this
//! loop itself, so that a hung sentinel is restarted). Never: decides or deposes.
//! Tests: the systemd test of the tests crate starts it.

use crate::args::Config;
use crate::view::{Change, View};
use futures_util::StreamExt as _;
use shanty_model::id::NodeId;
use shanty_rt::coord::{Coord, Etcd, EtcdOptions, Keys, NodeInfo, Registration, Role};
use shanty_rt::systemd::Systemd;
use shanty_rt::task::Scope;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Life of the registration without renewal.
const TTL: Duration = Duration::from_secs(10);

/// Time between signs of life.
const TICK: Duration = Duration::from_secs(1);

/// Time for the registration to be taken back at the end.
const LEAVE: Duration = Duration::from_secs(3);

pub(crate) async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let node: NodeId = config.node.parse()?;
    let coord: Arc<dyn Coord> = Arc::new(Etcd::connect(EtcdOptions::new(config.etcd.endpoints))?);
    let keys = Keys::new(&config.cluster);
    let mut systemd = Systemd::of_this_process();
    let mut scope = Scope::under(&stop);
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
    systemd.ready();
    systemd.status("waits for etcd".to_owned());
    tracing::info!(%node, cluster = %config.cluster, "sentinel watches; it does not vote or depose yet");
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    view.apply(event).iter().for_each(announce);
                    systemd.status(status(&view));
                }
                None => anyhow::bail!("the watch of {} ended; restart the sentinel", config.cluster),
            },
            _ = tick.tick() => systemd.sign_of_life(shanty_rt::clock::boottime()),
            () = stop.cancelled() => break,
        }
    }
    systemd.stopping(LEAVE);
    scope.drain(LEAVE).await;
    Ok(())
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
