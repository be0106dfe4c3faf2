//! How the process ends: the numbers that scripts may rely on.
//!
//! In: what happened. Out: a process exit code.
//! Never: prints.
//! Tests: below, and `cli/tests/runs.rs` with the real binary.

use shanty_proto::v1;
use shanty_proto::v1::run::State;
use tonic::Code;

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for was done.
    Done,
    /// Something on this side failed.
    Failed,
    /// The command line or a file on it is wrong.
    Usage,
    /// The run ended without success.
    RunFailed,
    /// The wait was over before the run was; the run goes on.
    WaitTimedOut,
    /// The run was cancelled.
    RunCancelled,
    /// No worker has room for it.
    NoCapacity,
    /// The server answered with this status; 64 is added, as grpcurl does.
    Status(Code),
    /// The run did its work and a threshold does not hold (99, as k6), or source and target differ.
    Thresholds,
    /// Interrupted; what runs in the cluster goes on.
    Interrupted,
}

impl Exit {
    /// The number for the shell.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::RunFailed => 3,
            Exit::WaitTimedOut => 4,
            Exit::RunCancelled => 5,
            Exit::NoCapacity => 6,
            Exit::Status(code) => 64_u8.saturating_add(u8::try_from(code as i32).unwrap_or(2)),
            Exit::Thresholds => 99,
            Exit::Interrupted => 130,
        }
    }

    /// What the end of a run means; the report, when there is one, tells broken thresholds from failures.
    pub(crate) fn of_run(run: &v1::Run, report: Option<&v1::Report>) -> Exit {
        match run.state() {
            State::Succeeded => Exit::Done,
            State::Failed if breaks_threshold(report) => Exit::Thresholds,
            State::Failed | State::TimedOut | State::Lost => Exit::RunFailed,
            State::Cancelled => Exit::RunCancelled,
            State::Unspecified | State::Pending | State::Running | State::Cancelling => Exit::Failed,
        }
    }
}

fn breaks_threshold(report: Option<&v1::Report>) -> bool {
    match report.and_then(|r| r.kind.as_ref()) {
        Some(v1::report::Kind::HttpLoad(load)) => load.thresholds.iter().any(|t| !t.holds),
        Some(v1::report::Kind::DbSync(sync)) => {
            sync.tables.iter().any(|table| table.verification.as_ref().is_some_and(|found| !found.equal))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: State) -> v1::Run {
        v1::Run { state: state.into(), ..v1::Run::default() }
    }

    fn report(holds: bool) -> v1::Report {
        let threshold = v1::ThresholdResult { threshold: "p99_ms<50".into(), measured: 60.0, holds };
        let load = v1::HttpLoadReport { thresholds: vec![threshold], ..v1::HttpLoadReport::default() };
        v1::Report { kind: Some(v1::report::Kind::HttpLoad(load)), ..v1::Report::default() }
    }

    #[test]
    fn a_status_is_64_more_as_with_grpcurl() {
        assert_eq!(Exit::Status(Code::InvalidArgument).code(), 67);
        assert_eq!(Exit::Status(Code::Unavailable).code(), 78);
    }

    #[test]
    fn a_failed_run_is_99_only_when_a_threshold_is_what_broke() {
        assert_eq!(Exit::of_run(&run(State::Failed), Some(&report(false))).code(), 99);
        assert_eq!(Exit::of_run(&run(State::Failed), Some(&report(true))).code(), 3);
        assert_eq!(Exit::of_run(&run(State::Failed), None).code(), 3);
        assert_eq!(Exit::of_run(&run(State::Succeeded), Some(&report(true))).code(), 0);
        assert_eq!(Exit::of_run(&run(State::Cancelled), None).code(), 5);
    }

    #[test]
    fn tables_that_differ_are_a_threshold_that_does_not_hold() {
        let sync = |verification| {
            let table = v1::SyncTableReport { verification, ..v1::SyncTableReport::default() };
            let sync = v1::DbSyncReport { tables: vec![table], ..v1::DbSyncReport::default() };
            v1::Report { kind: Some(v1::report::Kind::DbSync(sync)), ..v1::Report::default() }
        };
        let found = |equal| Some(v1::SyncVerification { equal, ..v1::SyncVerification::default() });
        assert_eq!(Exit::of_run(&run(State::Failed), Some(&sync(found(false)))).code(), 99);
        assert_eq!(Exit::of_run(&run(State::Failed), Some(&sync(found(true)))).code(), 3);
        assert_eq!(Exit::of_run(&run(State::Failed), Some(&sync(None))).code(), 3);
    }
}
