//! The simulation: many seeds, every invariant after every step, and every fence left out once to see that it is missed.
//!
//! `SHANTY_SIM_SEEDS=100000` plays more seeds, `SHANTY_SIM_ENOUGH=n` looks less or longer for a fence that is missed,
//! `SHANTY_SIM_SEED=n … replay` plays one with its whole history.

use shanty_tests::sim::{Broken, Fence, Outcome, play};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Seeds without being asked for more.
const SEEDS: u64 = 300;
/// Threads that play.
const THREADS: usize = 2;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Plays seeds until `enough` break one of the invariants `of` (any, when none is named) or all are played. Answers those.
fn search(
    seeds: std::ops::Range<u64>,
    without: &[Fence],
    of: &[&str],
    enough: usize,
    seen: impl Fn(&Outcome) + Sync,
) -> Vec<Outcome> {
    let next = AtomicU64::new(seeds.start);
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end || broken.lock().unwrap().len() >= enough {
                        return;
                    }
                    let outcome = play(seed, without, false);
                    seen(&outcome);
                    let is_meant = |broken: &Broken| of.is_empty() || of.contains(&broken.invariant);
                    if outcome.broken.as_ref().is_some_and(is_meant) {
                        broken.lock().unwrap().push(outcome);
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap()
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds = asked("SHANTY_SIM_SEEDS").unwrap_or(SEEDS);
    let first = asked("SHANTY_SIM_FIRST").unwrap_or(0);
    let began = Instant::now();
    let sums: Mutex<(u64, [u64; 4], BTreeMap<String, u64>)> = Mutex::default();
    let broken = search(first..first + seeds, &[], &[], 3, |outcome| {
        if let Some(Broken { invariant, what }) = &outcome.broken {
            eprintln!("seed {} broke {invariant}: {what}", outcome.seed);
        }
        let mut sums = sums.lock().unwrap();
        sums.0 += outcome.steps;
        sums.1.iter_mut().zip(outcome.figures).for_each(|(sum, figure)| *sum += figure);
        for (kind, count) in &outcome.faults {
            *sums.2.entry(kind.clone()).or_default() += count;
        }
    });
    let (steps, [terms, deposed, acknowledged, calms], faults) = sums.into_inner().unwrap();
    println!(
        "{seeds} seeds in {:.1} s: {steps} steps, {terms} terms, {deposed} ended by sentinels, {acknowledged} requests acknowledged, {calms} calms; faults: {faults:?}",
        began.elapsed().as_secs_f64()
    );
    let stories: Vec<String> = broken.iter().map(Outcome::story).collect();
    assert!(stories.is_empty(), "{}", stories.join("\n\n"));
    assert!(terms >= seeds && deposed > 0 && acknowledged > seeds && calms > 0, "the seeds were too quiet");
}

#[test]
fn a_seed_gives_the_same_history_twice() {
    for seed in 0..20 {
        let (one, other) = (play(seed, &[], true), play(seed, &[], true));
        for (line, again) in one.lines.iter().zip(&other.lines) {
            assert_eq!(line, again, "seed {seed}");
        }
        assert_eq!((one.hash, one.steps), (other.hash, other.steps), "seed {seed}");
    }
}

/// Fences that are left out, each alone, the invariants of which one must break, and a seed in which it did: the search
/// begins there.
const MISSED: [(Fence, &[&str], u64); 19] = [
    (Fence::TakeAsRead, &["I1"], 20),
    (Fence::ReleaseOwn, &["I11"], 0),
    (Fence::DeposeAsVoted, &["I11"], 2_815),
    (Fence::DeposeVotes, &["I11"], 5),
    (Fence::DeposeSet, &["I11"], 121),
    (Fence::DeposePause, &["I11"], 121),
    (Fence::Quorum, &["I11"], 2),
    (Fence::OneVoteEach, &["I11"], 2),
    (Fence::RenewalLooks, &["KNOWS"], 708),
    (Fence::CanaryTells, &["KNOWS"], 171),
    (Fence::StoreEpoch, &["I3"], 44),
    (Fence::StoreLock, &["I3"], 44),
    (Fence::FenceFirst, &["I2"], 0),
    (Fence::WorkerEpoch, &["I4"], 8),
    (Fence::WorkerLedger, &["I4"], 1_480),
    (Fence::ResultsAttempt, &["I8"], 1_163),
    (Fence::ResultsNumber, &["I8", "I9"], 7),
    (Fence::CommitFirst, &["I9"], 0),
    (Fence::Frozen, &["I12"], 13),
];

/// Seeds within which a fence that is left out must be missed.
const ENOUGH: u64 = 20_000;

#[test]
fn each_fence_is_missed_when_it_is_left_out() {
    let enough = asked("SHANTY_SIM_ENOUGH").unwrap_or(ENOUGH);
    let mut found = Vec::new();
    let mut unmissed = Vec::new();
    for (without, expected, from) in MISSED {
        let began = Instant::now();
        let played = AtomicU64::new(0);
        let broken = search(from..from + enough, &[without], expected, 1, |_| {
            _ = played.fetch_add(1, Ordering::SeqCst);
        });
        let first = broken.iter().min_by_key(|outcome| outcome.seed);
        let invariant =
            first.and_then(|outcome| outcome.broken.as_ref()).map_or("nothing", |broken| broken.invariant);
        let line = format!(
            "without {without:?}: {invariant} breaks, seed {:?}, {} seeds in {:.1} s",
            first.map(|outcome| outcome.seed),
            played.into_inner(),
            began.elapsed().as_secs_f64()
        );
        println!("{line}");
        if expected.contains(&invariant) { found.push(line) } else { unmissed.push(line) }
    }
    assert!(
        unmissed.is_empty(),
        "not missed as they should be:\n{}\nmissed:\n{}",
        unmissed.join("\n"),
        found.join("\n")
    );
}

/// Plays the seed of `SHANTY_SIM_SEED` (0 without) and shows all of its history.
#[test]
fn replay() {
    let outcome = play(asked("SHANTY_SIM_SEED").unwrap_or(0), &[], true);
    println!("{}", outcome.story());
    assert!(outcome.broken.is_none(), "seed {} breaks an invariant", outcome.seed);
}
