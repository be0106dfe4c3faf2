//! The one map from errors to `tonic::Status`. Every status carries an `ErrorInfo` with a reason, and the
//! detail that helps: violations, the resource, when to try again.
//!
//! Messages stay below 2 KiB and violations below 20: more than 16 KiB of trailers break HTTP/2 clients.
//! Tests: below.

use crate::engine::Refused;
use crate::runtime::Error;
use crate::store;
use shanty_model::violation::Violation;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of our reasons (AIP-193).
const DOMAIN: &str = "shanty";
const MOST_VIOLATIONS: usize = 20;
const MOST_MESSAGE: usize = 2000;
const RETRY_AFTER: Duration = Duration::from_millis(500);

fn with(code: Code, reason: &str, message: &str, edit: impl FnOnce(&mut ErrorDetails)) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    edit(&mut details);
    let end =
        message.char_indices().map(|(at, _)| at).take_while(|at| *at <= MOST_MESSAGE).last().unwrap_or(0);
    let short = if message.len() <= MOST_MESSAGE { message } else { &message[..end] };
    Status::with_error_details(code, short, details)
}

/// A request that makes no sense as it is.
pub(super) fn invalid(found: &[Violation]) -> Status {
    let shown = found.iter().take(MOST_VIOLATIONS);
    let mut text: Vec<String> = shown.clone().map(|v| format!("{}: {}", v.field, v.message)).collect();
    if found.len() > MOST_VIOLATIONS {
        text.push(format!("and {} more", found.len() - MOST_VIOLATIONS));
    }
    with(Code::InvalidArgument, "INVALID_REQUEST", &text.join("; "), |details| {
        for violation in shown {
            let mut message = violation.message.clone();
            message.truncate(message.floor_char_boundary(250));
            details.add_bad_request_violation(violation.field.clone(), message);
        }
    })
}

/// One field that makes no sense.
pub(super) fn invalid_field(field: &str, message: impl Into<String>) -> Status {
    invalid(&[Violation::new(field, message)])
}

/// There is no such thing.
pub(super) fn not_found(what: &str, name: &str, nearest: &[String]) -> Status {
    let hint =
        if nearest.is_empty() { String::new() } else { format!("; did you mean {}?", nearest.join(", ")) };
    with(Code::NotFound, "NOT_FOUND", &format!("{what} `{name}` does not exist{hint}"), |details| {
        details.set_resource_info(what, name, "", "no such name");
    })
}

/// Nobody can answer now; trying again helps.
pub(super) fn unavailable(reason: &str, message: &str) -> Status {
    with(Code::Unavailable, reason, message, |details| {
        details.set_retry_info(Some(RETRY_AFTER));
    })
}

/// Not in the state that it is in.
pub(super) fn precondition(reason: &'static str, message: &str) -> Status {
    Refused::Precondition { reason, message: message.to_owned() }.into()
}

/// The caller's own time is over.
pub(super) fn deadline(message: &str) -> Status {
    with(Code::DeadlineExceeded, "WAIT_OVER", message, |_| {})
}

/// A cursor that points beyond what there is.
pub(super) fn out_of_range(message: &str) -> Status {
    with(Code::OutOfRange, "CURSOR_OUT_OF_RANGE", message, |_| {})
}

/// A run that did not succeed, for callers who want to see that in the status.
pub(super) fn run_failed(message: &str) -> Status {
    with(Code::Aborted, "RUN_DID_NOT_SUCCEED", message, |_| {})
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let message = error.to_string();
        match error {
            Error::Refused(refused) => refused.into(),
            Error::RequestIdReused(_) => {
                with(Code::InvalidArgument, "REQUEST_ID_REUSED", &message, |details| {
                    details.add_bad_request_violation(
                        "request_id",
                        "was used for another request; take a new one",
                    );
                })
            }
            Error::Store(error) => error.into(),
            Error::NoLeader => unavailable("NO_LEADER", &message),
            Error::Frozen => unavailable("FROZEN", &message),
        }
    }
}

impl From<store::Error> for Status {
    fn from(error: store::Error) -> Status {
        let message = error.to_string();
        match error {
            store::Error::Unavailable(_) => unavailable("STORE_UNAVAILABLE", &message),
            store::Error::Fenced { .. } => unavailable("NO_LEADER", &message),
            store::Error::Conflict(_) => unavailable("CONFLICT", &message),
            store::Error::Corrupt(_) => with(Code::Internal, "STORE_CORRUPT", &message, |_| {}),
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let message = refused.to_string();
        match refused {
            Refused::Invalid(found) => invalid(&found),
            Refused::NotFound { what, name, nearest } => not_found(what, &name, &nearest),
            Refused::Exists { what, name } => with(Code::AlreadyExists, "EXISTS", &message, |details| {
                details.set_resource_info(what, name, "", "the name is taken");
            }),
            Refused::Precondition { reason, .. } => {
                with(Code::FailedPrecondition, reason, &message, |details| {
                    details.add_precondition_failure_violation(reason, "", message.clone());
                })
            }
            Refused::Changed { what, name, .. } => {
                with(Code::Aborted, "ETAG_MISMATCH", &message, |details| {
                    details.set_resource_info(what, name, "", "read it again and repeat the change");
                })
            }
            Refused::Exhausted { reason, .. } => with(Code::ResourceExhausted, reason, &message, |details| {
                details.set_retry_info(Some(RETRY_AFTER));
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_long_violations_stay_below_the_limit_of_trailers() {
        let found: Vec<Violation> =
            (0..500).map(|i| Violation::new(format!("spec.field{i}"), "ä".repeat(1000))).collect();
        let status = invalid(&found);
        assert!(status.message().len() <= 2000);
        assert!(status.details().len() < 8 * 1024, "{}", status.details().len());
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 20);
    }

    #[test]
    fn every_status_carries_a_reason_and_an_outage_says_when_to_try_again() {
        let status = Status::from(Error::NoLeader);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_details_error_info().unwrap().reason, "NO_LEADER");
        assert!(status.get_details_retry_info().is_some());
        let status = not_found("job", "nigthly", &["nightly".to_owned()]);
        assert_eq!(status.message(), "job `nigthly` does not exist; did you mean nightly?");
    }
}
