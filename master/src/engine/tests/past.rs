//! A new leader that has the results of before it read beside its work.

use super::rate::spec;
use super::*;
use crate::store::SeriesRecord;
use shanty_model::kind::{Progress, Report};
use shanty_model::state::RunState;

/// A new leader of a run of 4 s, of which 2 s of results are stored and unread.
fn world() -> (World, RunId, AttemptId, Vec<SeriesRecord>) {
    let mut old = World::with_workers(&["w1"]);
    let run = old.start(spec(100.0, 4));
    old.begin_all();
    let attempt = old.assigned().remove(0).1.attempt;
    old.report("w1", &attempt, 0, 100);
    old.report("w1", &attempt, 1, 100);
    let stored = Stored { runs: vec![stored_run(&old, &run)], ..Stored::default() };
    let engine = Engine::take_over(old.now, Epoch(2), &node("m2"), Options::default(), stored);
    let mut new = World { engine, now: old.now, stored: old.stored.clone(), told: Vec::new() };
    new.settle();
    new.attach("w1", "first", &[Held { attempt: attempt.clone(), revision: 1, acked: 2, ended: false }]);
    let pieces = stored_pieces(&new, &run);
    (new, run, attempt, pieces)
}

impl World {
    fn sent_so_far(&self, run: &RunId) -> Option<u64> {
        match self.engine.view(self.now, run)?.progress? {
            Progress::HttpLoad(progress) => progress.sent,
            Progress::DbSync(_) => None,
        }
    }
}

fn sent(world: &World) -> u64 {
    let report = world.run().report.clone().unwrap();
    let Report::HttpLoad(report) = report else { panic!("{report:?}") };
    report.sent
}

#[test]
fn a_run_goes_on_at_once_and_ends_when_all_of_it_is_read() {
    let (mut new, run, attempt, pieces) = world();
    assert!(!new.notes().contains(&"RESULTS_LOST".to_owned()), "they are stored");
    assert_eq!(new.engine.unread(), [(run.clone(), vec![(attempt.clone(), 2)])]);
    new.report("w1", &attempt, 2, 100);
    assert_eq!(new.acks(&attempt), [(3, false)], "the loop does not wait for the past");
    new.engine.on_past(&run, &pieces[..1], false);
    new.report("w1", &attempt, 3, 100);
    new.pass(4500 * MS, &["w1"]);
    new.end("w1", &attempt, Outcome::Done, 4);
    assert_eq!(new.run_state(&run), RunState::Running, "its report would lack a second");
    new.engine.on_past(&run, &pieces[1..], true);
    new.pass(100 * MS, &["w1"]);
    assert_eq!((new.run_state(&run), sent(&new)), (RunState::Succeeded, 400));
    assert_eq!(new.engine.unread(), []);
}

#[test]
fn what_this_leader_stored_itself_counts_once_although_it_is_read_too() {
    let (mut new, run, attempt, _) = world();
    new.report("w1", &attempt, 2, 100);
    let pieces = stored_pieces(&new, &run);
    assert_eq!(pieces.len(), 3);
    new.engine.on_past(&run, &pieces, true);
    new.report("w1", &attempt, 3, 100);
    new.pass(4500 * MS, &["w1"]);
    new.end("w1", &attempt, Outcome::Done, 4);
    assert_eq!(sent(&new), 400);
}

#[test]
fn what_cannot_be_read_is_told_and_the_run_ends_without_it() {
    let (mut new, run, attempt, pieces) = world();
    new.engine.on_past_lost(new.now, &run, "row 2 is damaged");
    new.engine.on_past(&run, &pieces[..1], true);
    new.settle();
    assert!(new.notes().contains(&"RESULTS_LOST".to_owned()));
    new.report("w1", &attempt, 2, 100);
    new.report("w1", &attempt, 3, 100);
    new.pass(4500 * MS, &["w1"]);
    new.end("w1", &attempt, Outcome::Done, 4);
    assert_eq!(sent(&new), 300);
}

#[test]
fn sums_and_figures_so_far_are_told_when_all_of_them_are_there() {
    let (mut new, run, attempt, pieces) = world();
    new.report("w1", &attempt, 2, 100);
    assert_eq!((new.sent_so_far(&run), new.engine.report(new.now, &run)), (None, None), "not a part of them");
    new.engine.on_past(&run, &pieces, true);
    assert_eq!(new.sent_so_far(&run), Some(300));
    assert!(new.engine.report(new.now, &run).is_some());
}
