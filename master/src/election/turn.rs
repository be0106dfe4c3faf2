//! Whose turn it is when nobody leads: pure.
//!
//! In: the nominee, the registered masters, who asks. Out: how long after the leader's end it may try, and
//! who is the best to hand over to. It only spreads attempts: any of them is safe.
//! Tests: below.

use super::options::Timers;
use super::record::Nominee;
use shanty_model::id::NodeId;
use shanty_rt::coord::NodeInfo;
use std::collections::BTreeMap;
use std::time::Duration;

/// Registered masters by node.
pub(super) type Masters = BTreeMap<NodeId, NodeInfo>;

/// How long after the leader's end `me` may try.
pub(super) fn wait(timers: &Timers, me: &NodeId, nominee: Option<&Nominee>, masters: &Masters) -> Duration {
    let by_rank = timers.stagger.saturating_mul(rank(me, masters));
    match nominee {
        Some(nominee) if nominee.node == *me => Duration::ZERO,
        Some(_) => timers.nominee_grace + by_rank,
        None => by_rank,
    }
}

/// The best master to hand over to, other than `me`.
pub(super) fn best_other(me: &NodeId, masters: &Masters) -> Option<NodeId> {
    ranked(masters).find(|node| *node != me).cloned()
}

/// Place of `me` by priority, then by name; the last place when it is not registered (yet).
fn rank(me: &NodeId, masters: &Masters) -> u32 {
    let place = ranked(masters).position(|node| node == me).unwrap_or(masters.len());
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn ranked(masters: &Masters) -> impl Iterator<Item = &NodeId> {
    let mut ranked: Vec<&NodeInfo> = masters.values().collect();
    ranked.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.node.cmp(&b.node)));
    ranked.into_iter().map(|info| &info.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_model::epoch::Epoch;
    use shanty_rt::coord::Role;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn masters(of: &[(&str, u32)]) -> Masters {
        let info = |(name, priority): &(&str, u32)| NodeInfo {
            node: node(name),
            role: Role::Master,
            address: String::new(),
            incarnation: String::new(),
            version: String::new(),
            priority: *priority,
        };
        of.iter().map(|each| (node(each.0), info(each))).collect()
    }

    #[test]
    fn the_nominee_goes_at_once_the_others_after_it_by_priority_and_name() {
        let timers = Timers::for_ttl(Duration::from_secs(5));
        let masters = masters(&[("m1", 100), ("m2", 100), ("m3", 200)]);
        let nominee = Nominee { for_term: Epoch(2), node: node("m2"), by: node("m3"), reason: String::new() };
        let ms = |me: &str, nominee| wait(&timers, &node(me), nominee, &masters).as_millis();
        for (me, free, nominated) in [("m3", 0, 1000), ("m1", 150, 1150), ("m2", 300, 0), ("m9", 450, 1450)] {
            assert_eq!(ms(me, None), free, "{me}");
            assert_eq!(ms(me, Some(&nominee)), nominated, "{me}");
        }
    }

    #[test]
    fn the_best_other_is_the_first_by_rank() {
        let masters = masters(&[("m1", 100), ("m2", 100), ("m3", 50)]);
        assert_eq!(best_other(&node("m1"), &masters), Some(node("m2")));
        assert_eq!(best_other(&node("m3"), &masters), Some(node("m1")));
        assert_eq!(best_other(&node("m1"), &Masters::new()), None);
    }
}
