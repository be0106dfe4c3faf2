//! The simulation: many seeds, every invariant after every step.
//!
//! `SHANTY_SIM_SEEDS=100000` plays more seeds, `SHANTY_SIM_SEED=n … replay` one with its whole history.

use shanty_tests::sim::{Fence, Outcome, play};
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

/// Plays seeds until one breaks something or all are played. Answers those that broke, by seed.
fn search(
    seeds: std::ops::Range<u64>,
    without: &[Fence],
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
                    if outcome.broken.is_some() {
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
    let broken = search(first..first + seeds, &[], 3, |outcome| {
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

/// Plays the seed of `SHANTY_SIM_SEED` (0 without) and shows all of its history.
#[test]
fn replay() {
    let outcome = play(asked("SHANTY_SIM_SEED").unwrap_or(0), &[], true);
    println!("{}", outcome.story());
    assert!(outcome.broken.is_none(), "seed {} breaks an invariant", outcome.seed);
}
