//! How a term ended and the next one began, on the clock of the fault: the lines of a failover.
//!
//! In: the two terms and the events of the second, as the cluster keeps them. Out: moments in their order. Pure.
//! Tests: below.

use crate::client::bare;
use shanty_proto::v1;

/// A moment, in milliseconds after the fault, and what it was.
pub(super) type Moment = (i64, String);

/// The moments of a failover from `ended` to `next`, whose events are `events`; `fault_ms` is since 1970.
pub(super) fn moments(
    fault_ms: i64,
    ended: &v1::Term,
    next: &v1::Term,
    events: &[v1::ClusterEvent],
) -> Vec<Moment> {
    let after = |time: &Option<prost_types::Timestamp>| {
        let time = time.as_ref()?;
        Some(time.seconds * 1000 + i64::from(time.nanos) / 1_000_000 - fault_ms)
    };
    let leader = bare(&next.leader);
    let mut moments = Vec::new();
    let mut add = |at: Option<i64>, text: String| moments.extend(at.map(|at| (at, text)));
    if let Some(vote) = ended.votes.first() {
        let seen = format!("first evidence, {}: {}", vote.evidence, vote.message);
        add(after(&ended.suspect_time), seen);
    }
    let voters: Vec<&str> = ended.votes.iter().map(|vote| bare(&vote.sentinel)).collect();
    let nominee = ended.candidates.iter().find(|candidate| candidate.refused_reason.is_empty());
    let nominee = nominee.map(|found| format!(", nominates {}", bare(&found.master))).unwrap_or_default();
    let by = bare(&ended.ended_by);
    add(
        after(&ended.end_time),
        format!("{by} ends term {} with the votes of {}{nominee}", ended.epoch, voters.join(" and ")),
    );
    add(after(&next.start_time), format!("{leader} has the leader key: term {}", next.epoch));
    let of_next = |reason: &'static str| {
        events.iter().filter(move |event| event.epoch == next.epoch && event.reason == reason)
    };
    for event in of_next("LEADER_ELECTED") {
        add(after(&event.time), format!("{leader} has fenced the store and read what is under way"));
    }
    let attached: Vec<&v1::ClusterEvent> = of_next("WORKER_ATTACHED").collect();
    let last = attached.iter().filter_map(|event| after(&event.time)).max();
    let mut names: Vec<&str> = attached.iter().map(|event| bare(&event.node)).collect();
    names.sort_unstable();
    add(last, format!("{} obey {leader}: it dispatches", names.join(", ")));
    moments.sort_by_key(|(at, _)| *at);
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Option<prost_types::Timestamp> {
        let nanos = i32::try_from(ms % 1000).unwrap() * 1_000_000;
        Some(prost_types::Timestamp { seconds: ms / 1000, nanos })
    }

    fn event(ms: i64, epoch: u32, node: &str, reason: &str) -> v1::ClusterEvent {
        let (node, reason) = (format!("nodes/{node}"), reason.to_owned());
        v1::ClusterEvent { time: at(ms), epoch, node, reason, ..v1::ClusterEvent::default() }
    }

    #[test]
    fn a_failover_is_told_in_the_order_of_its_moments() {
        let vote = |sentinel: &str| v1::Vote {
            sentinel: format!("nodes/{sentinel}"),
            evidence: "HARD".into(),
            message: "its door refuses".into(),
        };
        let candidate = |master: &str, refused: &str| v1::Candidate {
            master: format!("nodes/{master}"),
            refused_reason: refused.into(),
            ..v1::Candidate::default()
        };
        let ended = v1::Term {
            epoch: 4,
            end_time: at(10_150),
            ended_by: "nodes/s2".into(),
            suspect_time: at(10_012),
            votes: vec![vote("s1"), vote("s2")],
            candidates: vec![candidate("m2", ""), candidate("m1", "it leads")],
            ..v1::Term::default()
        };
        let next =
            v1::Term { epoch: 5, leader: "nodes/m2".into(), start_time: at(10_160), ..v1::Term::default() };
        let events = [
            event(9_000, 4, "w1", "WORKER_ATTACHED"),
            event(10_210, 5, "w2", "WORKER_ATTACHED"),
            event(10_205, 5, "w1", "WORKER_ATTACHED"),
            event(10_180, 5, "m2", "LEADER_ELECTED"),
        ];
        let told: Vec<String> = moments(10_000, &ended, &next, &events)
            .into_iter()
            .map(|(at, text)| format!("{at} {text}"))
            .collect();
        assert_eq!(
            told,
            [
                "12 first evidence, HARD: its door refuses",
                "150 s2 ends term 4 with the votes of s1 and s2, nominates m2",
                "160 m2 has the leader key: term 5",
                "180 m2 has fenced the store and read what is under way",
                "210 w1, w2 obey m2: it dispatches",
            ]
        );
    }
}
