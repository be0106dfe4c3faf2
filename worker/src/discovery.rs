//! Which masters are registered.
//!
//! In: the registrations below a prefix of the coordinator. Out: a watch that holds their addresses and names.
//! Never: ends by itself; while the coordinator is away the newest known addresses stay.
//! Tests: below.

use crate::link::Found;
use futures_util::StreamExt as _;
use shanty_model::id::NodeId;
use shanty_rt::coord::{Coord, NodeInfo, WatchEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Follows the registrations below `prefix`.
pub(crate) async fn follow_masters(coord: Arc<dyn Coord>, prefix: String, found: watch::Sender<Found>) {
    let mut events = coord.watch(&prefix);
    let mut known: BTreeMap<String, (String, NodeId)> = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            WatchEvent::Snapshot(entries) => {
                known = entries.into_iter().filter_map(|e| Some((e.key, registered(&e.value)?))).collect();
            }
            WatchEvent::Put(entry) => {
                if let Some(registered) = registered(&entry.value) {
                    known.insert(entry.key, registered);
                }
            }
            WatchEvent::Delete { key, revision: _ } => {
                known.remove(&key);
            }
        }
        let now: Found = known.values().cloned().collect();
        found.send_if_modified(|before| {
            let news = *before != now;
            if news {
                tracing::info!(masters = ?now, "masters registered");
                *before = now;
            }
            news
        });
    }
}

/// The address and the name of a master; none when it has no address.
fn registered(value: &[u8]) -> Option<(String, NodeId)> {
    let NodeInfo { address, node, .. } = NodeInfo::from_value(value)?;
    (!address.is_empty()).then_some((address, node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::coord::{Memory, Op, Role};
    use shanty_rt::task::Scope;
    use std::time::Duration;

    fn put(node: &str, address: &str) -> Vec<Op> {
        let info = NodeInfo {
            node: node.parse().unwrap(),
            role: Role::Master,
            address: address.to_owned(),
            incarnation: String::new(),
            version: String::new(),
            priority: 0,
        };
        vec![Op::Put { key: format!("masters/{node}"), value: info.to_value(), lease: None }]
    }

    async fn holds(found: &mut watch::Receiver<Found>, expected: &[(&str, &str)]) {
        let wanted = |now: &Found| {
            now.iter().map(|(address, node)| (address.as_str(), node.as_str())).eq(expected.iter().copied())
        };
        let reached = tokio::time::timeout(Duration::from_secs(5), found.wait_for(wanted)).await;
        assert!(reached.is_ok(), "not reached: {expected:?}");
    }

    #[tokio::test]
    async fn masters_come_and_go() {
        let coord = Memory::new();
        coord.txn(vec![], put("m1", "a:1")).await.unwrap();
        let (found_in, mut found) = watch::channel(Found::new());
        let mut scope = Scope::new();
        scope.spawn("discovery", follow_masters(Arc::new(coord.clone()), "masters/".to_owned(), found_in));
        holds(&mut found, &[("a:1", "m1")]).await;
        coord.txn(vec![], put("m2", "b:1")).await.unwrap();
        coord.txn(vec![], put("m3", "")).await.unwrap();
        holds(&mut found, &[("a:1", "m1"), ("b:1", "m2")]).await;
        coord.txn(vec![], vec![Op::Delete("masters/m1".to_owned())]).await.unwrap();
        holds(&mut found, &[("b:1", "m2")]).await;
    }
}
