//! Which master should lead next. Pure.
//!
//! First a filter, whose every refusal has its words; then a score, compared part by part: whether its own last term was
//! ended just now, priority, health, warmth, load in tenths; among equals the node's number. A standby keeps no state, so
//! what makes it warm are the workers that are attached to it: a leader that must wait for them dispatches nothing. Load
//! counts in coarse steps, so that noise never outranks what an operator said and all sentinels come to the same order.
//! (Kubernetes KEP-4355 asks the same of its strategies.)
//! In: masters as they were registered and seen. Out: [`Candidacy`]s, the best first, those passed over last.
//! Tests: below.

use crate::evidence::{Health, Limits, Record};
use shanty_model::id::NodeId;
use shanty_rt::coord::NodeInfo;
use shanty_rt::coord::record::Candidacy;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A candidate must have been seen well within this.
const SEEN: Duration = Duration::from_secs(2);
/// Its wall clock may differ by this much from the sentinel's, milliseconds.
const CLOCKS_APART_MS: u64 = 1500;

/// What is known when a successor is looked for.
pub(crate) struct Field<'a> {
    /// The time, CLOCK_BOOTTIME.
    pub now: Duration,
    /// The wall clock, milliseconds since 1970.
    pub unix_ms: i64,
    /// Registered masters.
    pub masters: &'a BTreeMap<NodeId, NodeInfo>,
    /// What was seen of them.
    pub records: &'a BTreeMap<NodeId, Record>,
    /// Who leads: never its own successor.
    pub leader: &'a NodeId,
    /// Masters whose terms were ended within the last minute.
    pub deposed: &'a BTreeSet<NodeId>,
    /// What is too much.
    pub limits: &'a Limits,
}

/// A master is warm with this part of the workers that are attached to the one with most of them.
const WARM: f64 = 0.9;

/// A score; less is better.
type Score = (bool, Reverse<u32>, u8, bool, u8);

/// All masters, the best candidate first, those passed over last with the reason.
pub(crate) fn rank(field: &Field<'_>) -> Vec<Candidacy> {
    let healths = field.records.iter().filter(|(node, _)| *node != field.leader);
    let attached = healths.filter_map(|(_, record)| Some(record.health.as_ref()?.witnesses.attached));
    let most = attached.max().unwrap_or(0);
    let mut ranked: Vec<(Option<Score>, Candidacy)> =
        field.masters.values().map(|info| look(field, info, most)).collect();
    // None would come first.
    ranked.sort_by(|one, other| {
        let key = |(score, _): &(Option<Score>, Candidacy)| (score.is_none(), *score);
        key(one).cmp(&key(other)).then_with(|| one.1.node.counted().cmp(&other.1.node.counted()))
    });
    ranked.into_iter().map(|(_, candidacy)| candidacy).collect()
}

/// Whether its store or its disk is on the way to be a reason to end a term.
pub(crate) fn is_strained(health: &Health, limits: &Limits) -> bool {
    health.store.max(health.disk) >= limits.grey_for / 2
}

/// Looks at one master; `most` workers are attached to one of the candidates.
fn look(field: &Field<'_>, info: &NodeInfo, most: u32) -> (Option<Score>, Candidacy) {
    let node = info.node.clone();
    let record = field.records.get(&node);
    if let Some(refused) = refusal(field, &node, record) {
        return (None, Candidacy { node, score: String::new(), refused });
    }
    let health = record.and_then(|record| record.health.as_ref());
    let attached = health.map_or(0, |health| health.witnesses.attached);
    let is_cold = f64::from(attached) < WARM * f64::from(most);
    let (health, load) = health.map_or((1, 10), |health| {
        let strained = is_strained(health, field.limits);
        let load = (0.5 * health.cpu + 0.5 * health.memory).clamp(0.0, 1.0);
        let tenths = (1..=10).rev().find(|tenth| load * 10.0 >= f64::from(*tenth));
        (u8::from(strained), tenths.unwrap_or(0))
    });
    let again = field.deposed.contains(&node);
    let text = format!(
        "{}priority {}, {}, {attached} workers attached, load {load}0 %",
        if again { "its last term was ended within a minute, " } else { "" },
        info.priority,
        ["well", "strained"][usize::from(health)],
    );
    let candidacy = Candidacy { node, score: text, refused: String::new() };
    (Some((again, Reverse(info.priority), health, is_cold, load)), candidacy)
}

/// Why a master cannot be the next leader.
fn refusal(field: &Field<'_>, node: &NodeId, record: Option<&Record>) -> Option<String> {
    if node == field.leader {
        return Some("it leads".to_owned());
    }
    let Some((record, health)) = record.and_then(|record| Some((record, record.health.as_ref()?))) else {
        return Some("it was never seen".to_owned());
    };
    let silence = record.silence(field.now);
    if silence >= SEEN {
        return Some(format!("no answer for {:.1} s", silence.as_secs_f64()));
    }
    if !health.eligible {
        return Some("it is stopping, or set apart".to_owned());
    }
    if health.store >= field.limits.grey_for {
        return Some("its store does not answer it".to_owned());
    }
    if health.disk >= field.limits.grey_for {
        return Some("its disk takes no writes".to_owned());
    }
    let silence_ms = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
    let apart = health.unix_ms.saturating_add(silence_ms).abs_diff(field.unix_ms);
    (apart > CLOCKS_APART_MS).then(|| format!("its clock is {apart} ms apart"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Sign, Witnesses};
    use shanty_rt::coord::Role;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn well() -> Health {
        Health {
            incarnation: String::new(),
            leading: None,
            dispatch: Duration::ZERO,
            store: Duration::ZERO,
            disk: Duration::ZERO,
            eligible: true,
            priority: 100,
            cpu: 0.0,
            memory: 0.0,
            unix_ms: 10_000,
            witnesses: Witnesses::default(),
        }
    }

    /// The order of the candidates, and what the others are refused for.
    fn ranked(masters: &[(&str, u32, Health)], deposed: &[&str]) -> (Vec<String>, String) {
        let info = |name: &str, priority| NodeInfo {
            node: node(name),
            role: Role::Master,
            address: String::new(),
            incarnation: String::new(),
            version: String::new(),
            priority,
        };
        let infos = masters.iter().map(|(name, priority, _)| (node(name), info(name, *priority))).collect();
        let now = Duration::from_secs(10);
        let record = |health: &Health| {
            let mut record = Record::new(now);
            record.take(now, 10_000, Sign::Answered(health.clone()));
            record
        };
        let records = masters.iter().map(|(name, _, health)| (node(name), record(health))).collect();
        let ranked = rank(&Field {
            now,
            unix_ms: 10_000,
            masters: &infos,
            records: &records,
            leader: &node("m1"),
            deposed: &deposed.iter().map(|name| node(name)).collect(),
            limits: &Limits::default(),
        });
        let (good, bad): (Vec<_>, Vec<_>) =
            ranked.into_iter().partition(|candidacy| candidacy.refused.is_empty());
        let bad: Vec<String> = bad.into_iter().map(|candidacy| candidacy.refused).collect();
        (good.into_iter().map(|candidacy| candidacy.node.to_string()).collect(), bad.join("; "))
    }

    #[test]
    fn priority_comes_before_health_before_load_before_name() {
        let strained = Health { store: Duration::from_millis(1_600), ..well() };
        let loaded = |cpu| Health { cpu, ..well() };
        let masters = [
            ("m2", 100, loaded(0.9)),
            ("m3", 100, loaded(0.05)),
            ("m4", 100, loaded(0.01)),
            ("m5", 100, strained),
            ("m6", 200, loaded(1.0)),
        ];
        let (order, _) = ranked(&masters, &[]);
        assert_eq!(order, ["m6", "m3", "m4", "m2", "m5"], "5 % and 1 % are the same tenth");
    }

    #[test]
    fn a_master_that_the_workers_have_not_found_yet_comes_after_a_loaded_one() {
        let attached = |attached, cpu| {
            let witnesses = Witnesses { attached, ..Witnesses::default() };
            Health { cpu, witnesses, ..well() }
        };
        let masters = [("m2", 100, attached(2, 0.0)), ("m3", 100, attached(3, 0.9))];
        assert_eq!(ranked(&masters, &[]).0, ["m3", "m2"]);
        let masters = [("m2", 100, attached(91, 0.0)), ("m3", 100, attached(100, 0.0))];
        assert_eq!(ranked(&masters, &[]).0, ["m2", "m3"], "a few that come and go are no difference");
    }

    #[test]
    fn who_was_just_ended_comes_last_but_comes() {
        let masters = [("m2", 300, well()), ("m3", 100, well())];
        assert_eq!(ranked(&masters, &["m2"]).0, ["m3", "m2"]);
    }

    #[test]
    fn who_cannot_lead_is_passed_over_with_the_reason() {
        let masters = [
            ("m1", 100, well()),
            ("m2", 100, Health { eligible: false, ..well() }),
            ("m3", 100, Health { disk: Duration::from_secs(3), ..well() }),
            ("m4", 100, Health { unix_ms: 12_000, ..well() }),
            ("m6", 100, Health { store: Duration::from_secs(3), ..well() }),
        ];
        let (order, refusals) = ranked(&masters, &[]);
        assert!(order.is_empty());
        for part in ["leads", "stopping", "disk", "2000 ms apart", "store"] {
            assert!(refusals.contains(part), "{part}: {refusals}");
        }
    }
}
