//! Which masters are registered.
//!
//! In: the registrations below a prefix of the coordinator. Out: a watch that holds their addresses.
//! Never: ends by itself; while the coordinator is away the newest known addresses stay.
//! Tests: below.

use futures_util::StreamExt as _;
use shanty_rt::coord::{Coord, NodeInfo, WatchEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// Follows the registrations below `prefix`.
pub(crate) async fn follow_masters(
    coord: Arc<dyn Coord>,
    prefix: String,
    found: watch::Sender<BTreeSet<String>>,
) {
    let mut events = coord.watch(&prefix);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            WatchEvent::Snapshot(entries) => {
                known = entries.into_iter().filter_map(|e| Some((e.key, address(&e.value)?))).collect();
            }
            WatchEvent::Put(entry) => {
                if let Some(address) = address(&entry.value) {
                    known.insert(entry.key, address);
                }
            }
            WatchEvent::Delete { key, revision: _ } => {
                known.remove(&key);
            }
        }
        let now: BTreeSet<String> = known.values().cloned().collect();
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

fn address(value: &[u8]) -> Option<String> {
    NodeInfo::from_value(value).map(|info| info.address).filter(|address| !address.is_empty())
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

    async fn holds(found: &mut watch::Receiver<BTreeSet<String>>, expected: &[&str]) {
        let wanted = |now: &BTreeSet<String>| now.iter().map(String::as_str).eq(expected.iter().copied());
        let reached = tokio::time::timeout(Duration::from_secs(5), found.wait_for(wanted)).await;
        assert!(reached.is_ok(), "not reached: {expected:?}");
    }

    #[tokio::test]
    async fn masters_come_and_go() {
        let coord = Memory::new();
        coord.txn(vec![], put("m1", "a:1")).await.unwrap();
        let (found_in, mut found) = watch::channel(BTreeSet::new());
        let mut scope = Scope::new();
        scope.spawn("discovery", follow_masters(Arc::new(coord.clone()), "masters/".to_owned(), found_in));
        holds(&mut found, &["a:1"]).await;
        coord.txn(vec![], put("m2", "b:1")).await.unwrap();
        coord.txn(vec![], put("m3", "")).await.unwrap();
        holds(&mut found, &["a:1", "b:1"]).await;
        coord.txn(vec![], vec![Op::Delete("masters/m1".to_owned())]).await.unwrap();
        holds(&mut found, &["b:1"]).await;
    }
}
