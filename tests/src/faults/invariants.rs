//! What must hold whatever is done to a cluster, judged from a history.
//!
//! In: a [`History`]. Out: breaches as sentences; none when all is well. Never: a judgement of speed; leaves a part of the
//! history that is there unjudged.
//! Tests: below; each breaks one invariant.

use super::history::{Copied, Fences, History, Load, Submit, Term};
use std::collections::{BTreeMap, BTreeSet};

/// A store or an etcd that was set back is fenced again within this time.
const FENCED_NS: u64 = 10_000_000_000;

/// The breaches of a history.
#[must_use]
pub fn breaches(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    one_leader_per_term(history, &mut found);
    terms_grow(history, &mut found);
    ends_have_reasons(history, &mut found);
    fences_are_in_order(history, &mut found);
    fences_only_grow(history, &mut found);
    nothing_is_accepted_in_an_old_term(history, &mut found);
    accepted_runs_are_kept(history, &mut found);
    nothing_is_accepted_while_frozen(history, &mut found);
    found.extend(history.load.iter().flat_map(load_adds_up));
    let may_lack = history.forgotten_ns.is_some();
    found.extend(history.copied.iter().flat_map(|copied| sync_is_exact(copied, may_lack)));
    found
}

fn one_leader_per_term(history: &History, found: &mut Vec<String>) {
    let mut leaders: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    let terms = history.terms.iter().map(|term| (term.epoch, term.leader.as_str()));
    let seen = history.sightings.iter().map(|seen| (seen.epoch, seen.leader.as_str()));
    for (epoch, leader) in terms.chain(seen).filter(|(_, leader)| !leader.is_empty()) {
        leaders.entry(epoch).or_default().insert(leader);
    }
    for (epoch, leaders) in leaders.into_iter().filter(|(_, leaders)| leaders.len() > 1) {
        found.push(format!("term {epoch} has {} leaders: {leaders:?}", leaders.len()));
    }
}

fn terms_grow(history: &History, found: &mut Vec<String>) {
    for pair in history.terms.windows(2).filter(|pair| pair[1].epoch <= pair[0].epoch) {
        found.push(format!("term {} comes after term {}", pair[1].epoch, pair[0].epoch));
    }
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for seen in history.sightings.iter().filter(|seen| !seen.leader.is_empty()) {
        let before = last.insert(&seen.asked, seen.epoch).unwrap_or(0);
        if seen.epoch < before {
            found.push(format!("{} named term {} after term {before}", seen.asked, seen.epoch));
        }
    }
}

/// A term was ended by a majority of the sentinels, by an operator, by its leader, or by its lease.
fn ends_have_reasons(history: &History, found: &mut Vec<String>) {
    let majority = history.voters / 2 + 1;
    for pair in history.terms.windows(2) {
        let (term, next) = (&pair[0], &pair[1]);
        let votes: BTreeSet<&String> = term.votes.iter().collect();
        if term.ended_by.starts_with("nodes/s") && votes.len() < majority {
            found.push(format!("{} ended term {} with votes of {votes:?}", term.ended_by, term.epoch));
        }
        if term.ended_by.starts_with("nodes/m") && term.ended_by != term.leader {
            found.push(format!("{} ended term {}, and nobody had asked it to", term.ended_by, term.epoch));
        }
        if term.ended_by.is_empty() && next.epoch == term.epoch + 1 && !ended_by_itself(term, next) {
            let (epoch, reason) = (term.epoch, &next.start_reason);
            found.push(format!("term {epoch} ended without votes; the next began because `{reason}`"));
        }
    }
}

/// Whether the next term began as one does after a lease that ran out, or after a leader that gave up.
fn ended_by_itself(term: &Term, next: &Term) -> bool {
    let by_leader = term.leader.strip_prefix("nodes/").unwrap_or(&term.leader);
    let reason = next.start_reason.as_str();
    reason == "nobody led"
        || reason.starts_with("nobody led; the coordinator had gone back to ")
        || reason.starts_with("the store was at ")
        || reason.strip_prefix("nominated by ").is_some_and(|rest| rest.starts_with(&format!("{by_leader}:")))
}

fn fences_are_in_order(history: &History, found: &mut Vec<String>) {
    let since = history.set_back_ns;
    let excused = |at_ns: u64| since.is_some_and(|since| (since..since + FENCED_NS).contains(&at_ns));
    let off = history.fences.iter().filter(|at| at.worker() > at.store || at.store > at.term);
    for fences in off.filter(|fences| !excused(fences.at_ns)) {
        found.push(format!("the fences are out of order: {fences:?}"));
    }
}

/// No worker forgets whom it obeyed, restarted or not; the store and etcd go back only where they were set back.
fn fences_only_grow(history: &History, found: &mut Vec<String>) {
    for pair in history.fences.windows(2) {
        let (before, then) = (&pair[0], &pair[1]);
        let forgot = before.workers.iter().zip(&then.workers).any(|(before, then)| then < before);
        let may_go_back = history.set_back_ns.is_some_and(|since| then.at_ns >= since);
        if forgot || (!may_go_back && (then.store < before.store || then.term < before.term)) {
            found.push(format!("a fence went back: {before:?}, then {then:?}"));
        }
    }
}

/// While the fences are out of order nobody works in a term that workers have left behind.
fn nothing_is_accepted_in_an_old_term(history: &History, found: &mut Vec<String>) {
    let Some(since) = history.set_back_ns else { return };
    let before = history.fences.iter().filter(|fences| fences.at_ns < since);
    let obeyed = before.map(Fences::worker).max().unwrap_or(0);
    let old = |submit: &&Submit| submit.asked_ns >= since && u64::from(submit.epoch) < obeyed;
    for submit in history.submits.iter().filter(old) {
        let (run, epoch) = (&submit.run, submit.epoch);
        found.push(format!("{run} was accepted in term {epoch}, after workers had obeyed term {obeyed}"));
    }
}

fn accepted_runs_are_kept(history: &History, found: &mut Vec<String>) {
    let forgotten = |submit: &Submit| {
        history.forgotten_ns.is_some_and(|(from, to)| (from..to).contains(&submit.accepted_ns))
    };
    let lost = history.submits.iter().filter(|submit| !submit.found && !forgotten(submit));
    let lost: Vec<&str> = lost.map(|submit| submit.run.as_str()).collect();
    if !lost.is_empty() {
        found.push(format!("{} of {} accepted runs are lost: {lost:?}", lost.len(), history.submits.len()));
    }
    let mut names = BTreeSet::new();
    // A store that has forgotten a name may give it out again.
    for twice in history.submits.iter().filter(|submit| !forgotten(submit) && !names.insert(&submit.run)) {
        found.push(format!("{} was accepted twice", twice.run));
    }
}

fn nothing_is_accepted_while_frozen(history: &History, found: &mut Vec<String>) {
    let Some((from, to)) = history.frozen_ns else { return };
    for submit in history.submits.iter().filter(|submit| submit.asked_ns >= from && submit.accepted_ns < to) {
        found.push(format!("{} was accepted while nobody could lead", submit.run));
    }
}

fn load_adds_up(load: &Load) -> Vec<String> {
    let Load { state, scheduled, sent, dropped, astray, lost, errors, arrived, workers_intact, forgotten } =
        load;
    let mut found = Vec::new();
    let (have, want) = (sent + dropped + lost, scheduled + astray);
    if have > want || have + forgotten < want {
        found.push(format!(
            "sent {sent} - astray {astray} + dropped {dropped} + lost {lost} is not scheduled {scheduled}"
        ));
    }
    // What failed may have come or not; what a lost worker sent and did not report may have come.
    let least = sent.saturating_sub(*errors);
    if *arrived < least {
        found.push(format!("the target read {arrived} requests, the report has {sent} with {errors} errors"));
    }
    if *workers_intact && *arrived > sent + lost + forgotten {
        found.push(format!("the target read {arrived} requests, the report has {sent} and {lost} lost"));
    }
    if *workers_intact && state != "SUCCEEDED" {
        found.push(format!("the load run is {state}"));
    }
    found
}

fn sync_is_exact(copied: &Copied, may_lack: bool) -> Vec<String> {
    let mut found = Vec::new();
    if copied.state != "SUCCEEDED" {
        found.push(format!("the sync is {}", copied.state));
    }
    if copied.source != copied.target {
        found.push(format!("the target of the sync has {:?}, its source {:?}", copied.target, copied.source));
    }
    let (reported, rows) = (copied.reported, copied.source.1);
    if reported > rows || (reported < rows && !may_lack) {
        found.push(format!("the sync reports {} rows of {}", copied.reported, copied.source.1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::history::Sighting;
    use super::*;

    fn sighting(asked: &str, epoch: u32, leader: &str) -> Sighting {
        Sighting { asked: asked.into(), epoch, leader: leader.into() }
    }

    fn fences(worker: u64, store: u64, term: u64) -> Fences {
        Fences { at_ns: 10, workers: vec![1, worker], store, term }
    }

    /// A failover by votes, then a switchover, then a lease that ran out; all is well.
    fn sound() -> History {
        let term = |epoch, leader: &str, start_reason: &str| Term {
            epoch,
            leader: leader.into(),
            start_reason: start_reason.into(),
            ..Term::default()
        };
        let mut terms = vec![
            term(1, "nodes/m1", "nobody led"),
            term(2, "nodes/m2", "nominated by s1: SIGKILL"),
            term(3, "nodes/m3", "nominated by m2: resigned in favour of m3"),
            term(4, "nodes/m1", "nobody led"),
        ];
        terms[0].ended_by = "nodes/s1".into();
        terms[0].votes = vec!["nodes/s1".into(), "nodes/s3".into()];
        let submit = |run: &str, asked_ns| Submit {
            run: run.into(),
            epoch: 2,
            asked_ns,
            accepted_ns: asked_ns + 5,
            running_ns: Some(asked_ns + 9),
            found: true,
        };
        History {
            voters: 3,
            terms,
            sightings: vec![
                sighting("m1", 1, "nodes/m1"),
                sighting("m2", 1, "nodes/m1"),
                sighting("m2", 1, ""),
                sighting("m2", 2, "nodes/m2"),
            ],
            fences: vec![fences(1, 2, 2)],
            submits: vec![submit("runs/a.1", 10), submit("runs/a.2", 100)],
            frozen_ns: Some((20, 90)),
            forgotten_ns: None,
            set_back_ns: None,
            load: Some(Load {
                state: "SUCCEEDED".into(),
                scheduled: 100,
                sent: 97,
                dropped: 1,
                astray: 0,
                lost: 2,
                errors: 1,
                arrived: 98,
                workers_intact: true,
                forgotten: 0,
            }),
            copied: Some(Copied {
                state: "SUCCEEDED".into(),
                source: ("print".into(), 7),
                target: ("print".into(), 7),
                reported: 7,
            }),
        }
    }

    #[test]
    fn a_sound_history_has_no_breach() {
        assert_eq!(breaches(&sound()), Vec::<String>::new());
    }

    /// Each breaks one invariant of a sound history, and the sentence that must tell.
    type Break = (&'static str, fn(&mut History));

    const BREAKS: [Break; 21] = [
        ("term 2 has 2 leaders", |h| h.sightings.push(sighting("m3", 2, "nodes/m3"))),
        ("comes after term", |h| h.terms.swap(1, 2)),
        ("named term 1 after term 2", |h| h.sightings.push(sighting("m2", 1, "nodes/m1"))),
        ("ended term 1 with votes", |h| h.terms[0].votes.truncate(1)),
        ("ended term 1 with votes", |h| h.terms[0].votes = vec!["nodes/s1".into(), "nodes/s1".into()]),
        ("term 1 ended without votes", |h| h.terms[0].ended_by.clear()),
        ("and nobody had asked it to", |h| h.terms[0].ended_by = "nodes/m3".into()),
        ("term 2 ended without votes", |h| h.terms[2].start_reason = "nominated by m3: a guess".into()),
        ("out of order", |h| h.fences.push(fences(3, 2, 3))),
        ("out of order", |h| h.fences.push(fences(1, 3, 2))),
        ("a fence went back", |h| h.fences.push(Fences { workers: vec![0, 2], ..fences(2, 2, 2) })),
        ("a fence went back", |h| h.fences.push(fences(1, 1, 2))),
        ("a fence went back", |h| h.fences.insert(0, fences(1, 2, 3))),
        ("accepted runs are lost", |h| h.submits[1].found = false),
        ("accepted twice", |h| h.submits[1].run = "runs/a.1".into()),
        ("while nobody could lead", |h| h.submits[1].asked_ns = 50),
        ("is not scheduled", |h| h.load.as_mut().unwrap().dropped = 0),
        ("the target read 95", |h| h.load.as_mut().unwrap().arrived = 95),
        ("the target read 100", |h| h.load.as_mut().unwrap().arrived = 100),
        ("the sync reports 6", |h| h.copied.as_mut().unwrap().reported = 6),
        ("the target of the sync has", |h| h.copied.as_mut().unwrap().target = ("print".into(), 8)),
    ];

    #[test]
    fn each_broken_invariant_is_found() {
        for (sentence, break_it) in BREAKS {
            let mut history = sound();
            break_it(&mut history);
            if sentence == "while nobody could lead" {
                history.submits[1].accepted_ns = 60;
            }
            let found = breaches(&history);
            assert!(found.iter().any(|breach| breach.contains(sentence)), "{sentence}: {found:?}");
        }
    }

    #[test]
    fn what_a_store_forgot_is_forgiven_and_nothing_else_is() {
        let mut history = sound();
        // The first run, and the arrivals of its time, in a store that was set back at 50.
        (history.forgotten_ns, history.set_back_ns) = (Some((10, 50)), Some(50));
        history.submits[0].found = false;
        let load = history.load.as_mut().unwrap();
        (load.sent, load.forgotten) = (90, 10);
        history.copied.as_mut().unwrap().reported = 5;
        history.fences.push(Fences { at_ns: 60, ..fences(2, 1, 2) });
        assert_eq!(breaches(&history), Vec::<String>::new());

        let breaks: [Break; 7] = [
            ("accepted runs are lost", |h| h.submits[1].found = false),
            ("is not scheduled", |h| h.load.as_mut().unwrap().sent = 80),
            ("is not scheduled", |h| h.load.as_mut().unwrap().sent = 98),
            ("the sync reports 8", |h| h.copied.as_mut().unwrap().reported = 8),
            ("out of order", |h| h.fences.push(Fences { at_ns: 50 + FENCED_NS, ..fences(2, 1, 2) })),
            ("after workers had obeyed term 3", |h| h.fences[0].workers[0] = 3),
            ("a fence went back", |h| h.fences.push(Fences { at_ns: 70, ..fences(1, 1, 2) })),
        ];
        for (sentence, break_it) in breaks {
            let mut history = history.clone();
            break_it(&mut history);
            let found = breaches(&history);
            assert!(found.iter().any(|breach| breach.contains(sentence)), "{sentence}: {found:?}");
        }
    }

    #[test]
    fn runs_that_did_not_succeed_are_told() {
        let mut history = sound();
        history.load.as_mut().unwrap().state = "LOST".into();
        history.copied.as_mut().unwrap().state = "FAILED".into();
        let found = breaches(&history);
        assert_eq!(found, ["the load run is LOST", "the sync is FAILED"]);
    }

    #[test]
    fn the_next_dispatch_is_one_of_a_later_term_that_ran() {
        let mut history = sound();
        assert_eq!(history.next_dispatch(50, 1).unwrap().as_nanos(), 59);
        assert_eq!(history.next_dispatch(50, 2), None, "it must be a later term");
        history.submits[1].running_ns = None;
        assert_eq!(history.next_dispatch(50, 1), None, "accepted is not dispatched");
    }
}
