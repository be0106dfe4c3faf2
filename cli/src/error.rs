//! What can go wrong for the client, said so that a person knows what to do next.
//!
//! In: a status, a failed connection, a wrong file. Out: lines for standard error that end with one next
//! step, and the exit code.
//! Tests: below, and in `explain.rs`.

use crate::connect::Unreachable;
use crate::exit::Exit;
use crate::screen::Paint;
use crate::{explain, json};
use std::io;

/// Why a command did not do what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No master could be reached.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The server refused.
    #[error("cannot {doing}: {}", status.message())]
    Status {
        /// What was asked for, for example `start the run`.
        doing: String,
        /// Its answer.
        status: Box<tonic::Status>,
        /// Whether RESOURCE_EXHAUSTED means that no worker has room (true for what starts runs).
        starts: bool,
    },
    /// Something that was given is wrong.
    #[error("{what}")]
    Wrong {
        /// What is wrong.
        what: String,
        /// What to do.
        next: String,
    },
    /// Something on this machine did not work.
    #[error("{what}")]
    Local {
        /// What did not work.
        what: String,
        /// What to do.
        next: String,
    },
    /// JSON does not fit.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// Standard output does not take any more.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The wait was over first.
    #[error("run {run} has not ended within {waited}")]
    StillRunning {
        /// The run.
        run: String,
        /// How long the wait was, for reading.
        waited: String,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// A wrong input.
    pub(crate) fn wrong(what: impl Into<String>, next: impl Into<String>) -> Error {
        Error::Wrong { what: what.into(), next: next.into() }
    }

    /// A failure on this machine.
    pub(crate) fn local(what: impl Into<String>, next: impl Into<String>) -> Error {
        Error::Local { what: what.into(), next: next.into() }
    }

    /// A refusal by the server.
    pub(crate) fn status(doing: impl Into<String>, status: tonic::Status) -> Error {
        Error::Status { doing: doing.into(), status: Box::new(status), starts: false }
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Error::Unreachable(_) => Exit::Status(tonic::Code::Unavailable),
            Error::Status { status, starts: true, .. } if status.code() == tonic::Code::ResourceExhausted => {
                Exit::NoCapacity
            }
            Error::Status { status, .. } => Exit::Status(status.code()),
            Error::Wrong { .. } | Error::Json(_) => Exit::Usage,
            Error::Local { .. } => Exit::Failed,
            // A reader that went away (`| head`) has what it wanted.
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Error::Output(_) => Exit::Failed,
            Error::StillRunning { .. } => Exit::WaitTimedOut,
            Error::Interrupted => Exit::Interrupted,
        }
    }

    /// The lines for standard error; the last one is the next step. Empty when there is nothing to say.
    pub(crate) fn lines(&self, paint: Paint) -> String {
        let (details, next) = match self {
            Error::Status { status, .. } => (explain::details(status), explain::next_step(status)),
            Error::Unreachable(why) => (Vec::new(), why.next_step()),
            Error::Wrong { next, .. } | Error::Local { next, .. } => (Vec::new(), next.clone()),
            Error::Json(json::Error::Text { message, .. }) => {
                (Vec::new(), format!("see its fields: shanty api describe {message}"))
            }
            Error::Json(_) => {
                (Vec::new(), "compare versions: shanty --version, shanty cluster status".to_owned())
            }
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return String::new(),
            Error::Output(_) => (Vec::new(), "look where standard output goes: a full disk?".to_owned()),
            Error::StillRunning { run, .. } => (Vec::new(), format!("it goes on: shanty run watch {run}")),
            Error::Interrupted => return String::new(),
        };
        let mut text = format!("{} {self}", paint.bad("error:"));
        for line in details {
            text.push_str("\n  ");
            text.push_str(&line);
        }
        format!("{text}\n{} {next}", paint.strong("next: "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::{Code, Status};

    #[test]
    fn every_error_ends_with_one_next_step() {
        let json = json::read::<shanty_proto::v1::JobSpec>("{", "spec.json").unwrap_err();
        let errors = [
            Error::Unreachable(Unreachable::refused("127.0.0.1:7070")),
            Error::status("get the run", Status::new(Code::NotFound, "no run adhoc.9")),
            Error::wrong("no rate", "give --rate"),
            Error::Json(json),
            Error::StillRunning { run: "adhoc.1".into(), waited: "1.0 s".into() },
        ];
        for error in errors {
            let text = error.lines(Paint(false));
            assert!(text.starts_with("error: "), "{text}");
            assert_eq!(text.lines().filter(|l| l.starts_with("next:")).count(), 1, "{text}");
            assert!(text.lines().last().unwrap().starts_with("next:"), "{text}");
        }
    }

    #[test]
    fn exhausted_means_no_capacity_only_where_a_run_is_started() {
        let status = || Box::new(Status::new(Code::ResourceExhausted, "no worker"));
        let start = Error::Status { doing: String::new(), status: status(), starts: true };
        let other = Error::Status { doing: String::new(), status: status(), starts: false };
        assert_eq!((start.exit().code(), other.exit().code()), (6, 72));
    }
}
