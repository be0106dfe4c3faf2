//! Runs started, changed and cancelled by a user.

use super::command::Refused;
use super::machine::Machine;
use super::{Engine, Now};
use crate::store::{JobRecord, Mutation, RunDetail, RunRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::{JobId, RunId};
use shanty_model::kind::{Change, Report, Shape, Spec};
use shanty_model::state::{RunEvent, RunState, ShardState};
use shanty_model::violation::Violation;

impl Engine {
    /// Starts a run of `spec` under the job `adhoc`.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with every violation; [`Refused::Exhausted`] when too many runs go on.
    pub fn start_run(&mut self, now: Now, spec: Spec) -> Result<RunId, Refused> {
        self.check_spec(&spec)?;
        let adhoc = JobId::adhoc();
        if !self.jobs.contains_key(&adhoc) {
            let record = JobRecord {
                id: adhoc.clone(),
                title: "runs without a job of their own".to_owned(),
                spec: None,
                labels: std::collections::BTreeMap::new(),
                last_run: 0,
                deleted: false,
                version: 1,
                create_ms: now.unix_ms(),
                update_ms: now.unix_ms(),
            };
            self.commands.push(super::Command::store(Mutation::InsertJob(record.clone())));
            self.jobs.insert(adhoc.clone(), record);
        }
        self.begin(now, &adhoc, spec)
    }

    /// Starts a run of a job.
    ///
    /// # Errors
    /// [`Refused::NotFound`] with the nearest names; as [`Engine::start_run`] otherwise.
    pub fn run_job(&mut self, now: Now, job: &JobId) -> Result<RunId, Refused> {
        let spec = self.live_job(job)?.spec.clone().ok_or_else(|| Refused::Precondition {
            reason: "JOB_HAS_NO_SPEC",
            message: format!("job `{job}` holds runs that were started without a job: use StartRun"),
        })?;
        self.check_spec(&spec)?;
        self.begin(now, job, spec)
    }

    /// Checks a spec against the cluster's limits.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with every violation, fields as in `spec.http_load.rate`.
    pub fn check_spec(&self, spec: &Spec) -> Result<(), Refused> {
        let found: Vec<Violation> =
            spec.check(&self.options.limits).into_iter().map(|v| v.under("spec")).collect();
        if found.is_empty() { Ok(()) } else { Err(Refused::Invalid(found)) }
    }

    fn begin(&mut self, now: Now, job: &JobId, spec: Spec) -> Result<RunId, Refused> {
        if self.runs.len() >= self.options.max_active_runs {
            return Err(Refused::Exhausted {
                reason: "TOO_MANY_RUNS",
                message: format!(
                    "{} runs go on already: cancel some, or wait for their end",
                    self.runs.len()
                ),
            });
        }
        let last = self.jobs.get(job).map_or(0, |record| record.last_run);
        let next = self.next_run(job, last);
        let Some(record) = self.jobs.get_mut(job) else {
            return Err(Refused::NotFound { what: "job", name: job.to_string(), nearest: Vec::new() });
        };
        record.last_run = next;
        record.version += 1;
        let id = RunId { job: job.clone(), number: record.last_run };
        self.commands.push(super::Command::store(Mutation::UpdateJob(record.clone())));
        let run = RunRecord {
            id: id.clone(),
            spec,
            state: RunState::Submitted,
            reason: String::new(),
            sequence: 0,
            epoch: self.epoch,
            detail: RunDetail::default(),
            report: None,
            version: 0,
            create_ms: now.unix_ms(),
            start_ms: None,
            end_ms: None,
        };
        self.runs.insert(id.clone(), Machine::new(run, Vec::new(), now.boot, true));
        self.reconcile(now, &id);
        Ok(id)
    }

    /// Changes a run; all workers of a run of shape rate switch at one instant.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with every violation; [`Refused::Precondition`] when the run is not under way.
    pub fn change_run(&mut self, now: Now, id: &RunId, change: &Change) -> Result<(), Refused> {
        let limits = self.options.limits.clone();
        let machine = self.active_run(id)?;
        let found = change.check(&machine.record.spec, &limits);
        if !found.is_empty() {
            return Err(Refused::Invalid(found));
        }
        match machine.record.spec.shape() {
            Shape::Divisible => self.change_divisible(now, id, change),
            Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                self.change_rate(now, id, change)
            }
        }
    }

    fn change_rate(&mut self, now: Now, id: &RunId, change: &Change) -> Result<(), Refused> {
        let (epoch, options) = (self.epoch, self.options.clone());
        let machine = self.active_run(id)?;
        match machine.record.state {
            RunState::Running | RunState::Changing => {}
            state @ (RunState::Submitted
            | RunState::Planning
            | RunState::Stopping
            | RunState::Succeeded
            | RunState::Failed
            | RunState::Cancelled
            | RunState::TimedOut
            | RunState::Lost) => {
                return Err(Refused::Precondition {
                    reason: "RUN_NOT_RUNNING",
                    message: format!("run `{id}` is {}; it can be changed while it is running", state.name()),
                });
            }
        }
        let at_ns = machine.run_ns(now).saturating_add(nanos(options.lead));
        let (Some(plan), Some(rate_milli)) = (machine.record.detail.plan.as_mut(), change.rate_milli())
        else {
            return Err(Refused::Precondition {
                reason: "NOTHING_TO_CHANGE",
                message: format!("run `{id}` has no rate that could change"),
            });
        };
        let before = plan.load.rate_at(
            machine.record.detail.start_unix_ns.map_or(0, |s| u64::try_from(now.unix_ns - s).unwrap_or(0)),
        );
        plan.change_rate(at_ns, rate_milli);
        let after = rate_milli as f64 / 1000.0;
        machine.note(
            now,
            false,
            "RATE_CHANGED",
            format!("rate {before}/s → {after}/s at {:.3} s", at_ns as f64 / 1e9),
        );
        machine.advance(now, epoch, RunEvent::ChangeSent, "");
        machine.change_by = Some(now.boot + options.accept_timeout);
        machine.tell_plan(now, options.orphan_limit);
        Ok(())
    }

    /// Asks a run to stop. One that is stopping already stays so.
    ///
    /// # Errors
    /// [`Refused::NotFound`] for a run that is not active; the caller looks for an ended one first.
    pub fn cancel_run(&mut self, now: Now, id: &RunId, reason: &str) -> Result<(), Refused> {
        let (epoch, patience) = (self.epoch, self.options.stop_patience);
        let machine = self.active_run(id)?;
        machine.stop(now, epoch, RunState::Cancelled, reason, patience);
        self.finish_if_ended(now, id);
        Ok(())
    }

    pub(super) fn active_run(&mut self, id: &RunId) -> Result<&mut Machine, Refused> {
        self.runs.get_mut(id).ok_or_else(|| Refused::NotFound {
            what: "run",
            name: id.to_string(),
            nearest: Vec::new(),
        })
    }

    /// Ends a run whose parts have all ended, if it is time.
    pub(super) fn finish_if_ended(&mut self, now: Now, id: &RunId) {
        let epoch = self.epoch;
        let Some(machine) = self.runs.get_mut(id) else { return };
        // Its report would lack what is not read yet.
        if machine.record.state.is_terminal() || machine.open().next().is_some() || machine.unread.is_some() {
            return;
        }
        let is_divisible = machine.record.spec.shape() == Shape::Divisible;
        let over = machine.plan().is_some_and(|plan| machine.run_ns(now) >= plan.load.end_ns());
        let carried = machine.parts.iter().any(|part| matches!(part.shard.state, ShardState::Done));
        let (end, reason) = match machine.record.detail.stopping.clone() {
            Some(stopping) => stopping,
            None if is_divisible && machine.is_all_done() => (RunState::Succeeded, String::new()),
            None if over && !carried => {
                (RunState::Lost, "every worker of it was lost before its end".to_owned())
            }
            None if over => (RunState::Succeeded, String::new()),
            None => return,
        };
        machine.finish(now, epoch, end, &reason);
        self.commands.push(super::Command::store(Mutation::DropSeries(id.clone())));
    }
}

impl Machine {
    /// Ends the run: makes its report, looks for what was asked for and does not hold, moves to its last state.
    fn finish(&mut self, now: Now, epoch: Epoch, end: RunState, reason: &str) {
        let report = self.report(now);
        let shortfalls = report.as_ref().map(Report::shortfalls).unwrap_or_default();
        let (end, reason) = if end == RunState::Succeeded && !shortfalls.is_empty() {
            (RunState::Failed, shortfalls.join("; "))
        } else {
            (end, reason.to_owned())
        };
        self.record.report = report;
        self.record.end_ms = Some(now.unix_ms());
        self.advance(now, epoch, RunEvent::Ended(end), &reason);
    }
}

pub(super) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
