//! All results of a load test so far, merged bucket by bucket.
//!
//! In: one [`Partial`] per worker and second, each once, in any order. Out: [`Progress`], [`Report`].
//! Never: averages percentiles.
//! Tests: below.

use super::partial::{ErrorClass, Partial};
use super::report::{LatencySummary, Progress, Report, ThresholdResult, Verdict, WorkerReport};
use super::seconds::Seconds;
use super::spec::Spec;
use super::threshold::Threshold;
use crate::histogram::Latencies;
use crate::id::NodeId;
use crate::rate::{Patterns, Plan};
use std::collections::BTreeMap;

/// Arrivals dropped by the generator beyond this part of the schedule make the result invalid.
const MOST_DROPPED: f64 = 0.001;
/// Arrivals lost with workers beyond this part of the schedule make the result invalid.
const MOST_LOST: f64 = 0.05;
/// A generator whose turn comes later than this, at the 99th percentile, was saturated.
const MOST_LATE_MS: f64 = 10.0;
/// A second is told as soon as all workers have reported it, or this many seconds later.
const PATIENCE_SECONDS: u32 = 2;

/// Results merged so far.
#[derive(Debug, Clone)]
pub struct Tally {
    thresholds: Vec<Threshold>,
    warm_up_ns: u64,
    total: Sums,
    shards: BTreeMap<u32, ShardSums>,
    seconds: Seconds,
    engine: String,
}

#[derive(Debug, Clone, Default)]
struct Sums {
    sent: u64,
    completed: u64,
    dropped: u64,
    astray: u64,
    waited: u64,
    bytes_sent: u64,
    bytes_received: u64,
    errors: BTreeMap<ErrorClass, u64>,
    statuses: BTreeMap<u16, u64>,
    response: Latencies,
    service: Latencies,
    lateness: Latencies,
}

#[derive(Debug, Clone)]
struct ShardSums {
    node: NodeId,
    covered_ns: u64,
    sent: u64,
    completed: u64,
    errors: u64,
    dropped: u64,
    astray: u64,
    response: Latencies,
    lateness: Latencies,
}

/// What the master knows about a run that the tally does not.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'a> {
    /// The plan of the run.
    pub plan: &'a Plan,
    /// Up to when the run went: its end or the moment it was stopped, nanoseconds since its start.
    pub until_ns: u64,
    /// Shards whose worker was lost, and when others took over, nanoseconds since the start.
    pub lost_shards: &'a [(u32, u64)],
    /// Whether every arrival of the schedule should be accounted for: true at the end of a whole run, false
    /// for figures so far and for a run that was stopped.
    pub whole: bool,
}

/// What is asked of a report, with the patterns by which its arrivals are counted.
struct Account<'a> {
    closing: Closing<'a>,
    patterns: Patterns<'a>,
    from_ns: u64,
    until_ns: u64,
}

impl<'a> Account<'a> {
    /// The measured part of the run.
    fn new(closing: Closing<'a>, warm_up_ns: u64) -> Account<'a> {
        let until_ns = closing.until_ns.min(closing.plan.load.end_ns());
        Account { closing, patterns: closing.plan.patterns(), from_ns: warm_up_ns.min(until_ns), until_ns }
    }

    /// When others took a lost shard's arrivals over.
    fn taken_over(&self, shard: u32) -> Option<u64> {
        self.closing.lost_shards.iter().find(|(lost, _)| *lost == shard).map(|(_, at)| *at)
    }

    /// How many arrivals of `shard` are due in `from_ns..to_ns`.
    fn owned(&self, shard: u32, from_ns: u64, to_ns: u64) -> u64 {
        let index = usize::try_from(shard).unwrap_or(usize::MAX);
        self.patterns.owned_between(index, from_ns, to_ns)
    }
}

impl Sums {
    fn add(&mut self, partial: &Partial) {
        self.sent += partial.sent;
        self.completed += partial.completed;
        self.dropped += partial.dropped;
        self.astray += partial.astray;
        self.waited += partial.waited;
        self.bytes_sent += partial.bytes_sent;
        self.bytes_received += partial.bytes_received;
        for (class, count) in &partial.errors {
            *self.errors.entry(*class).or_default() += count;
        }
        for (status, count) in &partial.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.response.merge(&partial.response);
        self.service.merge(&partial.service);
        self.lateness.merge(&partial.lateness);
    }
}

impl Tally {
    /// An empty tally for `spec`, which passed its check.
    #[must_use]
    pub fn new(spec: &Spec) -> Tally {
        let settled = spec.settle().ok();
        Tally {
            warm_up_ns: settled.as_ref().map_or(0, |s| s.warm_up_ns),
            thresholds: settled.map(|s| s.thresholds).unwrap_or_default(),
            total: Sums::default(),
            shards: BTreeMap::new(),
            seconds: Seconds::default(),
            engine: String::new(),
        }
    }

    /// Merges one second of one shard, done by `node`.
    pub fn absorb(&mut self, shard: u32, node: &NodeId, partial: &Partial) {
        let errors = partial.error_count();
        self.seconds.absorb(partial);
        let sums = self.shards.entry(shard).or_insert_with(|| ShardSums {
            node: node.clone(),
            covered_ns: 0,
            sent: 0,
            completed: 0,
            errors: 0,
            dropped: 0,
            astray: 0,
            response: Latencies::new(),
            lateness: Latencies::new(),
        });
        sums.covered_ns = sums.covered_ns.max(partial.covered_ns);
        if self.engine.is_empty() {
            self.engine.clone_from(&partial.engine);
        }
        if partial.warm_up {
            return;
        }
        sums.sent += partial.sent;
        sums.completed += partial.completed;
        sums.errors += errors;
        sums.dropped += partial.dropped;
        sums.astray += partial.astray;
        sums.response.merge(&partial.response);
        sums.lateness.merge(&partial.lateness);
        self.total.add(partial);
    }

    /// Up to when the arrivals of `shard` are accounted for, nanoseconds since the run's start.
    #[must_use]
    pub fn covered_ns(&self, shard: u32) -> u64 {
        self.shards.get(&shard).map_or(0, |sums| sums.covered_ns)
    }

    /// Requests and connect errors of a second, and of those the refused ones: for the rule that says at
    /// once that nobody listens.
    #[must_use]
    pub fn reachability(&self, second: u32) -> Option<(u64, u64, u64)> {
        self.seconds.get(second).map(|s| (s.completed + s.errors, s.connect_errors, s.refused))
    }

    /// How far the run is at `now_ns` since its start, with `workers` sending.
    #[must_use]
    pub fn progress(&self, plan: &Plan, now_ns: u64, workers: u32) -> Progress {
        let now_second = u32::try_from(now_ns / 1_000_000_000).unwrap_or(u32::MAX);
        let newest = self.seconds.newest_first().find(|(second, sums)| {
            sums.reporters >= workers.max(1) || second.saturating_add(PATIENCE_SECONDS) < now_second
        });
        let (sent, completed) = newest.map_or((0, 0), |(_, second)| (second.sent, second.completed));
        let response = newest.map(|(_, second)| second.response()).unwrap_or_default();
        Progress {
            target_rate: plan.load.rate_at(now_ns),
            sent_rate: sent,
            completed_rate: completed,
            sent: Some(self.total.sent),
            completed: Some(self.total.completed),
            errors: Some(self.total.errors.values().sum()),
            p50_ms: response.quantile_ms(0.5),
            p99_ms: response.quantile_ms(0.99),
            workers,
        }
    }

    /// The report of what was measured up to `closing.until_ns`.
    #[must_use]
    pub fn report(&self, closing: Closing<'_>) -> Report {
        let account = Account::new(closing, self.warm_up_ns);
        let Account { from_ns, until_ns, .. } = account;
        let duration_ns = until_ns - from_ns;
        let seconds = duration_ns as f64 / 1e9;
        let per_second = |count: u64| if duration_ns == 0 { 0.0 } else { count as f64 / seconds };
        let workers = self.workers(&account);
        let (scheduled, unowned) = self.scheduled(&account);
        // A worker that was lost before its first report has no row, but a gap.
        let unheard: u64 = closing
            .lost_shards
            .iter()
            .filter(|(shard, _)| !self.shards.contains_key(shard))
            .map(|(shard, at)| account.owned(*shard, from_ns, (*at).min(until_ns)))
            .sum();
        let lost = workers.iter().map(|w| w.lost).sum::<u64>() + unheard + unowned;
        let errors: u64 = self.total.errors.values().sum();
        let ended = self.total.completed + errors;
        let mut report = Report {
            verdict: Verdict::default(),
            scheduled,
            sent: self.total.sent,
            completed: self.total.completed,
            errors,
            dropped: self.total.dropped,
            astray: self.total.astray + self.beyond(&account),
            lost,
            waited: self.total.waited,
            duration_ns,
            target_rate: per_second(scheduled),
            sent_rate: per_second(self.total.sent),
            completed_rate: per_second(self.total.completed),
            error_rate: if ended == 0 { 0.0 } else { errors as f64 / ended as f64 },
            bytes_sent: self.total.bytes_sent,
            bytes_received: self.total.bytes_received,
            response: (&self.total.response).into(),
            service: (&self.total.service).into(),
            lateness: (&self.total.lateness).into(),
            statuses: self.total.statuses.iter().map(|(s, n)| (*s, *n)).collect(),
            error_classes: self.total.errors.iter().map(|(c, n)| (c.name().to_owned(), *n)).collect(),
            workers,
            thresholds: Vec::new(),
            engine: self.engine.clone(),
            seconds: self.seconds.points(),
        };
        report.verdict = verdict(&report);
        report.thresholds = self
            .thresholds
            .iter()
            .map(|threshold| {
                let (measured, holds) = threshold.judge(&report);
                ThresholdResult { threshold: threshold.to_string(), measured, holds }
            })
            .collect();
        report
    }

    /// Arrivals that the figures should hold, and those of them that nobody owned because every worker was
    /// lost.
    fn scheduled(&self, account: &Account<'_>) -> (u64, u64) {
        let Account { closing, from_ns, until_ns, .. } = account;
        let shards = 0..u32::try_from(closing.plan.scores().len()).unwrap_or(u32::MAX);
        if closing.whole {
            let due = closing.plan.due_between(*from_ns, *until_ns);
            let owned: u64 = shards.map(|shard| account.owned(shard, *from_ns, *until_ns)).sum();
            return (due, due.saturating_sub(owned));
        }
        let accounted = shards.map(|shard| {
            let covered_ns = self.covered_ns(shard);
            let end = account.taken_over(shard).unwrap_or(covered_ns).max(covered_ns);
            account.owned(shard, *from_ns, end.min((*until_ns).max(covered_ns)))
        });
        (accounted.sum(), 0)
    }

    /// What lost workers sent after others had their shares, or nobody: they went on, and their results came later.
    fn beyond(&self, account: &Account<'_>) -> u64 {
        let over = account.closing.lost_shards.iter().filter_map(|(shard, _)| {
            let sums = self.shards.get(shard)?;
            let owned = account.owned(*shard, account.from_ns, sums.covered_ns.min(account.until_ns));
            Some((sums.sent + sums.dropped).saturating_sub(sums.astray + owned))
        });
        over.sum()
    }

    fn workers(&self, account: &Account<'_>) -> Vec<WorkerReport> {
        let mut by_node: BTreeMap<NodeId, (WorkerReport, Latencies, Latencies)> = BTreeMap::new();
        for (shard, sums) in &self.shards {
            let taken_over = account.taken_over(*shard);
            let lost = taken_over.map_or(0, |at| {
                account.owned(*shard, sums.covered_ns.max(account.from_ns), at.min(account.until_ns))
            });
            let (worker, response, lateness) = by_node.entry(sums.node.clone()).or_insert_with(|| {
                let empty = LatencySummary::default();
                let node = sums.node.clone();
                let worker = WorkerReport {
                    node,
                    sent: 0,
                    completed: 0,
                    errors: 0,
                    lost: 0,
                    response: empty,
                    lateness: empty,
                    was_lost: false,
                };
                (worker, Latencies::new(), Latencies::new())
            });
            worker.sent += sums.sent;
            worker.completed += sums.completed;
            worker.errors += sums.errors;
            worker.lost += lost;
            worker.was_lost |= taken_over.is_some();
            response.merge(&sums.response);
            lateness.merge(&sums.lateness);
        }
        by_node
            .into_values()
            .map(|(worker, response, lateness)| WorkerReport {
                response: (&response).into(),
                lateness: (&lateness).into(),
                ..worker
            })
            .collect()
    }
}

fn verdict(report: &Report) -> Verdict {
    let late = report.lateness.p99_ms;
    if report.sent == 0 {
        return Verdict::Invalid("nothing was sent".to_owned());
    }
    if report.scheduled == 0 {
        return Verdict::Valid(format!("closed loop: {} sent, {} completed", report.sent, report.completed));
    }
    let scheduled = report.scheduled as f64;
    let lost = if report.lost == 0 {
        String::new()
    } else {
        format!("; {} arrivals of lost workers are not in the figures", report.lost)
    };
    if report.sent > report.scheduled {
        return Verdict::Invalid(format!(
            "more than the load was sent: {} of {} scheduled; a worker went on after others had its share",
            report.sent, report.scheduled
        ));
    }
    if report.dropped as f64 > scheduled * MOST_DROPPED || late > MOST_LATE_MS {
        return Verdict::Invalid(format!(
            "generator saturated: sent {} of {} scheduled, {} dropped, lateness p99 {late:.3} ms{lost}",
            report.sent, report.scheduled, report.dropped
        ));
    }
    if report.lost as f64 > scheduled * MOST_LOST {
        return Verdict::Invalid(format!(
            "workers lost: sent {} of {} scheduled{lost}",
            report.sent, report.scheduled
        ));
    }
    Verdict::Valid(format!(
        "sent {} of {} scheduled ({:.1}/s of {:.1}/s), lateness p99 {late:.3} ms{lost}",
        report.sent, report.scheduled, report.sent_rate, report.target_rate
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spec() -> Spec {
        Spec {
            url: "http://127.0.0.1:1/".into(),
            rate: Some(100.0),
            duration: Some(Duration::from_secs(4)),
            warm_up: Some(Duration::from_secs(1)),
            thresholds: vec!["p99_ms<50".into(), "error_rate<0.001".into()],
            ..Spec::default()
        }
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn second(second: u32, sent: u64, failed: u64) -> Partial {
        let mut partial = Partial {
            second,
            warm_up: second == 0,
            covered_ns: u64::from(second + 1) * 1_000_000_000,
            sent,
            completed: sent - failed,
            ..Partial::default()
        };
        if failed > 0 {
            partial.errors.insert(ErrorClass::Timeout, failed);
        }
        for i in 0..partial.completed {
            partial.response.record_ns(1_000_000 * (i + 1));
            partial.lateness.record_ns(10_000);
        }
        partial
    }

    #[test]
    fn workers_merge_and_the_warm_up_stays_out() {
        let plan = Plan::new(spec().settle().unwrap().load, vec![1, 1]);
        let mut tally = Tally::new(&spec());
        for s in 0..4 {
            tally.absorb(0, &node("a"), &second(s, 50, 0));
            tally.absorb(1, &node("b"), &second(s, 50, u64::from(s == 2)));
        }
        let report = tally.report(Closing { plan: &plan, until_ns: u64::MAX, lost_shards: &[], whole: true });
        assert_eq!((report.scheduled, report.sent, report.completed, report.errors), (300, 300, 299, 1));
        assert_eq!(report.target_rate, 100.0);
        assert_eq!(report.error_classes, [("timeout".to_owned(), 1)]);
        assert_eq!(report.seconds.len(), 4);
        assert!((report.response.max_ms - 50.0).abs() < 0.1);
        assert_eq!(report.workers.iter().map(|w| w.sent).collect::<Vec<_>>(), [150, 150]);
        assert!(matches!(report.verdict, Verdict::Valid(_)), "{:?}", report.verdict);
        assert_eq!(report.thresholds.iter().map(|t| t.holds).collect::<Vec<_>>(), [false, false]);
    }

    #[test]
    fn the_gap_of_a_lost_worker_is_counted_exactly() {
        let mut plan = Plan::new(spec().settle().unwrap().load, vec![1, 1]);
        plan.change_split(2_300_000_000, vec![1, 0]);
        let mut tally = Tally::new(&spec());
        for s in 0..4 {
            tally.absorb(0, &node("a"), &second(s, if s < 2 { 50 } else { 85 }, 0));
        }
        tally.absorb(1, &node("b"), &second(0, 50, 0));
        tally.absorb(1, &node("b"), &second(1, 50, 0));
        let report = tally.report(Closing {
            plan: &plan,
            until_ns: u64::MAX,
            lost_shards: &[(1, 2_300_000_000)],
            whole: true,
        });
        assert_eq!(report.lost, 15, "half of 30 arrivals between 2.0 s and 2.3 s");
        assert!(report.workers[1].was_lost && !report.workers[0].was_lost);
    }

    #[test]
    fn a_lost_worker_that_went_on_is_counted_as_astray() {
        fn closing<'a>(plan: &'a Plan, lost_shards: &'a [(u32, u64)]) -> Closing<'a> {
            Closing { plan, until_ns: u64::MAX, lost_shards, whole: true }
        }
        let adds_up = |report: &Report| {
            assert_eq!(
                report.sent + report.dropped + report.lost,
                report.scheduled + report.astray,
                "{report:?}"
            );
        };
        let at = 2_300_000_000;
        // Others had its share.
        let mut plan = Plan::new(spec().settle().unwrap().load, vec![1, 1]);
        plan.change_split(at, vec![1, 0]);
        let mut tally = Tally::new(&spec());
        for (s, sent) in [(0, 50), (1, 50), (2, 85), (3, 100)] {
            tally.absorb(0, &node("a"), &second(s, sent, 0));
            tally.absorb(1, &node("b"), &second(s, 50, 0));
        }
        let report = tally.report(closing(&plan, &[(1, at)]));
        assert_eq!((report.sent, report.astray, report.lost), (385, 85, 0));
        adds_up(&report);
        // Nobody had it.
        let mut plan = Plan::new(spec().settle().unwrap().load, vec![1]);
        plan.change_split(at, vec![0]);
        let mut tally = Tally::new(&spec());
        (0..4).for_each(|s| tally.absorb(0, &node("a"), &second(s, 100, 0)));
        let report = tally.report(closing(&plan, &[(0, at)]));
        assert_eq!((report.sent, report.astray, report.lost), (300, 170, 170));
        adds_up(&report);
    }

    #[test]
    fn the_gap_of_a_worker_that_was_never_heard_is_counted_too() {
        let mut plan = Plan::new(spec().settle().unwrap().load, vec![1, 1]);
        plan.change_split(1_300_000_000, vec![1, 0]);
        let mut tally = Tally::new(&spec());
        tally.absorb(0, &node("a"), &second(1, 85, 0));
        let closing =
            Closing { plan: &plan, until_ns: u64::MAX, lost_shards: &[(1, 1_300_000_000)], whole: true };
        let report = tally.report(closing);
        assert_eq!(report.lost, plan.owned_between(1, tally.warm_up_ns, 1_300_000_000));
        assert!(report.lost > 0);
    }

    #[test]
    fn a_generator_that_drops_or_is_late_is_not_believed() {
        let plan = Plan::new(spec().settle().unwrap().load, vec![1]);
        let mut tally = Tally::new(&spec());
        let mut late = second(1, 100, 0);
        late.dropped = 10;
        tally.absorb(0, &node("a"), &late);
        let report = tally.report(Closing { plan: &plan, until_ns: u64::MAX, lost_shards: &[], whole: true });
        assert!(matches!(&report.verdict, Verdict::Invalid(why) if why.starts_with("generator saturated")));
    }

    #[test]
    fn progress_tells_the_newest_second_that_all_have_reported() {
        let plan = Plan::new(spec().settle().unwrap().load, vec![1, 1]);
        let mut tally = Tally::new(&spec());
        tally.absorb(0, &node("a"), &second(0, 50, 0));
        tally.absorb(1, &node("b"), &second(0, 50, 0));
        tally.absorb(0, &node("a"), &second(1, 50, 0));
        let progress = tally.progress(&plan, 2_100_000_000, 2);
        assert_eq!((progress.sent_rate, progress.target_rate, progress.workers), (100, 100.0, 2));
    }
}
