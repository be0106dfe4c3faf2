//! Whose turn it is when nobody leads: pure.
//!
//! In: the nomination, who led last, the registered masters, who asks. Out: how long after the leader's end it
//! may try. It only spreads attempts: any of them is safe. Who led last comes last: it may be dead and
//! still registered, or it left because it was sick.
//! Tests: below.

use super::options::Timers;
use shanty_model::id::NodeId;
use shanty_rt::coord::NodeInfo;
use shanty_rt::coord::record::Nominee;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// Registered masters by node.
pub(super) type Masters = BTreeMap<NodeId, NodeInfo>;

/// How long after the leader's end `me` may try.
pub(super) fn wait(
    timers: &Timers,
    me: &NodeId,
    nominee: Option<&Nominee>,
    last: Option<&NodeId>,
    masters: &Masters,
) -> Duration {
    let by_rank = timers.stagger.saturating_mul(rank(me, last, masters));
    let Some(nominee) = nominee else { return by_rank };
    let before_me = nominee.candidates.iter().position(|candidate| candidate == me);
    let waits = u32::try_from(before_me.unwrap_or(nominee.candidates.len())).unwrap_or(u32::MAX);
    let grace = timers.nominee_grace.saturating_mul(waits);
    if before_me.is_some() { grace } else { grace + by_rank }
}

/// Place of `me` by priority, then by number; the last place when it is not registered (yet).
fn rank(me: &NodeId, last: Option<&NodeId>, masters: &Masters) -> u32 {
    let mut ranked: Vec<&NodeInfo> = masters.values().collect();
    ranked.sort_by_key(|info| (Some(&info.node) == last, Reverse(info.priority), info.node.counted()));
    let place = ranked.iter().position(|info| info.node == *me).unwrap_or(masters.len());
    u32::try_from(place).unwrap_or(u32::MAX)
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
    fn candidates_go_in_their_order_the_others_after_them_by_priority_and_name() {
        let timers = Timers::for_ttl(Duration::from_secs(5));
        let masters = masters(&[("m1", 100), ("m2", 100), ("m3", 200)]);
        let candidates = vec![node("m2"), node("m4")];
        let nominee = Nominee { for_term: Epoch(2), candidates, by: node("s1"), reason: String::new() };
        let ms = |me: &str, nominee| wait(&timers, &node(me), nominee, None, &masters).as_millis();
        for (me, free, nominated) in
            [("m3", 0, 2000), ("m1", 150, 2150), ("m2", 300, 0), ("m4", 450, 1000), ("m9", 450, 2450)]
        {
            assert_eq!(ms(me, None), free, "{me}");
            assert_eq!(ms(me, Some(&nominee)), nominated, "{me}");
        }
    }

    #[test]
    fn who_led_last_comes_last() {
        let timers = Timers::for_ttl(Duration::from_secs(5));
        let masters = masters(&[("m1", 200), ("m2", 100), ("m3", 100)]);
        let last = node("m1");
        for (me, ms) in [("m1", 300), ("m2", 0), ("m3", 150)] {
            assert_eq!(wait(&timers, &node(me), None, Some(&last), &masters).as_millis(), ms, "{me}");
        }
    }
}
