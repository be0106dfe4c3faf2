//! Filter and score of one worker.
//!
//! Score = usable cores × idle share × memory factor × lateness factor. It is the seeds' order (processor
//! use, memory use, memory size) turned into a capacity, so that shares can follow it. The idle share is
//! taken in steps of a tenth, so that noise does not move work.
//! Tests: below, as tables.

use super::decision::Candidate;
use shanty_model::id::NodeId;
use shanty_model::kind::Spec;
use shanty_model::telemetry::Telemetry;
use std::collections::BTreeMap;

/// Never less of a core than this is counted as idle: a busy worker still gets a little.
const LEAST_IDLE: f64 = 0.1;
/// Memory use above which the score falls, and above which nothing is given.
const MEMORY_TIGHT_PERCENT: f64 = 80.0;
const MEMORY_FULL_PERCENT: f64 = 97.0;
/// Send lateness above which a worker counts as saturated, milliseconds at the 99th percentile.
const LATE_MS: f64 = 5.0;
/// A share changes during a run only if it moves by at least this part.
const HYSTERESIS: f64 = 0.2;

/// A worker as the placement looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The worker.
    pub node: NodeId,
    /// Identity of this start of its process.
    pub incarnation: String,
    /// Its newest figures.
    pub telemetry: Telemetry,
    /// Kinds it can do.
    pub kinds: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Names of the databases that it can reach.
    pub connections: Vec<String>,
    /// Attempts it may still take.
    pub free_slots: u32,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// Whether it is handing its work over.
    pub draining: bool,
    /// Whether it is attached and was heard lately.
    pub present: bool,
}

/// What a run needs of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The kind.
    pub kind: &'a str,
    /// Names of the databases that it must be able to reach.
    pub connections: Vec<&'a str>,
}

impl<'a> Needs<'a> {
    /// What a run of this spec needs.
    #[must_use]
    pub fn of(spec: &'a Spec) -> Needs<'a> {
        Needs { kind: spec.kind(), connections: spec.connections() }
    }
}

/// A worker filtered and scored; its weight is 0 until the plan is made.
#[must_use]
pub fn candidate(standing: &Standing, needs: &Needs<'_>) -> Candidate {
    let refusal = refusal(standing, needs).unwrap_or_default();
    let score = if refusal.is_empty() { score(&standing.telemetry) } else { 0.0 };
    Candidate {
        node: standing.node.clone(),
        incarnation: standing.incarnation.clone(),
        refusal,
        score,
        weight: 0,
        cores: standing.telemetry.cores,
        cpu_percent: standing.telemetry.cpu_percent,
        memory_percent: standing.telemetry.memory_percent(),
        lateness_p99_ms: standing.telemetry.lateness_p99_ms,
    }
}

fn refusal(standing: &Standing, needs: &Needs<'_>) -> Option<String> {
    let lacks = needs.connections.iter().find(|name| !standing.connections.iter().any(|has| has == *name));
    let word = if !standing.present {
        "away"
    } else if standing.draining {
        "draining"
    } else if standing.cordoned {
        "cordoned"
    } else if !standing.kinds.iter().any(|kind| kind == needs.kind) {
        "does not do this kind"
    } else if let Some(name) = lacks {
        return Some(format!("lacks the connection {name}"));
    } else if standing.free_slots == 0 {
        "no free slot"
    } else if standing.telemetry.memory_percent() > MEMORY_FULL_PERCENT {
        "out of memory"
    } else {
        return None;
    };
    Some(word.to_owned())
}

fn score(telemetry: &Telemetry) -> f64 {
    let cores = if telemetry.cores > 0.0 { telemetry.cores } else { 1.0 };
    let idle = (1.0 - telemetry.cpu_percent / 100.0).clamp(0.0, 1.0);
    let idle = ((idle * 10.0).round() / 10.0).max(LEAST_IDLE);
    cores * idle * memory_factor(telemetry.memory_percent()) * lateness_factor(telemetry.lateness_p99_ms)
}

fn memory_factor(percent: f64) -> f64 {
    if percent <= MEMORY_TIGHT_PERCENT {
        1.0
    } else {
        ((100.0 - percent) / (100.0 - MEMORY_TIGHT_PERCENT)).max(0.05)
    }
}

fn lateness_factor(p99_ms: f64) -> f64 {
    if p99_ms <= LATE_MS { 1.0 } else { (LATE_MS / p99_ms).max(0.25) }
}

/// A score as the plan takes it: whole, in thousandths.
#[must_use]
pub fn whole_score(score: f64) -> u64 {
    let scaled = (score * 1000.0).round().clamp(0.0, 1e12);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just above")]
    let whole = scaled as u64;
    whole
}

/// New scores for a run under way, or none while nothing has changed enough.
///
/// `held` and `fresh` are by shard, 0 for a shard that has ended. During a run only saturation moves work:
/// processor use is the load's own doing, so a score falls when its worker's sends come late, and by no
/// more than half at a time.
#[must_use]
pub fn rescored(held: &[u64], lateness_p99_ms: &[f64]) -> Option<Vec<u64>> {
    let working: Vec<usize> = (0..held.len()).filter(|shard| held[*shard] > 0).collect();
    let late = |shard: &usize| lateness_p99_ms.get(*shard).copied().unwrap_or(0.0) > LATE_MS;
    if working.len() < 2 || working.iter().all(late) {
        return None;
    }
    let mut scores = held.to_vec();
    let mut moved = false;
    for shard in working.into_iter().filter(late) {
        let factor = lateness_factor(lateness_p99_ms[shard]).max(0.5);
        if factor < 1.0 - HYSTERESIS {
            scores[shard] = whole_score(held[shard] as f64 / 1000.0 * factor).max(1);
            moved = true;
        }
    }
    moved.then_some(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(cpu_percent: f64, memory_percent: f64) -> Standing {
        Standing {
            node: "w1".parse().unwrap(),
            incarnation: "i".into(),
            telemetry: Telemetry {
                cores: 4.0,
                cpu_percent,
                memory_used_bytes: whole_score(memory_percent / 100.0),
                memory_total_bytes: 1000,
                ..Telemetry::default()
            },
            kinds: vec!["http_load".into()],
            labels: BTreeMap::new(),
            connections: vec!["shop".into()],
            free_slots: 1,
            cordoned: false,
            draining: false,
            present: true,
        }
    }

    fn score_of(standing: &Standing) -> f64 {
        candidate(standing, &Needs { kind: "http_load", connections: vec![] }).score
    }

    #[test]
    fn score_falls_with_processor_memory_and_lateness() {
        for (cpu, memory, late, expected) in [
            (0.0, 10.0, 0.0, 4.0),
            (52.0, 10.0, 0.0, 2.0),
            (48.0, 10.0, 0.0, 2.0),
            (100.0, 10.0, 0.0, 0.4),
            (0.0, 90.0, 0.0, 2.0),
            (0.0, 10.0, 10.0, 2.0),
            (0.0, 10.0, 4.9, 4.0),
        ] {
            let mut worker = standing(cpu, memory);
            worker.telemetry.lateness_p99_ms = late;
            assert!(
                (score_of(&worker) - expected).abs() < 1e-9,
                "{cpu} {memory} {late}: {}",
                score_of(&worker)
            );
        }
    }

    #[test]
    fn each_filter_names_its_reason() {
        let ok = standing(0.0, 0.0);
        let needs = Needs { kind: "http_load", connections: vec!["shop"] };
        let reason = |worker: Standing| candidate(&worker, &needs).refusal;
        assert_eq!(reason(ok.clone()), "");
        assert_eq!(reason(Standing { present: false, ..ok.clone() }), "away");
        assert_eq!(reason(Standing { draining: true, ..ok.clone() }), "draining");
        assert_eq!(reason(Standing { cordoned: true, ..ok.clone() }), "cordoned");
        assert_eq!(reason(Standing { kinds: vec![], ..ok.clone() }), "does not do this kind");
        assert_eq!(reason(Standing { connections: vec![], ..ok.clone() }), "lacks the connection shop");
        assert_eq!(reason(Standing { free_slots: 0, ..ok.clone() }), "no free slot");
        assert_eq!(reason(standing(0.0, 98.0)), "out of memory");
        assert_eq!(score_of(&Standing { cordoned: true, ..ok }), 0.0);
    }

    #[test]
    fn during_a_run_only_a_saturated_worker_loses_share_and_only_to_a_better_one() {
        assert_eq!(rescored(&[1000, 1000], &[0.1, 0.1]), None);
        assert_eq!(rescored(&[1000, 1000], &[0.1, 10.0]), Some(vec![1000, 500]));
        assert_eq!(rescored(&[1000, 1000], &[0.1, 5.5]), None, "within the hysteresis");
        assert_eq!(rescored(&[1000, 1000], &[20.0, 20.0]), None, "nobody is better");
        assert_eq!(rescored(&[0, 1000], &[0.1, 20.0]), None, "nobody is left");
    }
}
