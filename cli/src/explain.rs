//! Reads google.rpc error details: every violation on a line of its own, and what to do next.
//!
//! In: a status. Out: text.
//! Tests: below.

use crate::quantity;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The details of a status, a line each.
pub(crate) fn details(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let mut lines = Vec::new();
    if let Some(bad) = details.bad_request() {
        lines.extend(bad.field_violations.iter().map(|v| join(&v.field, &v.description)));
    }
    if let Some(precondition) = details.precondition_failure() {
        lines.extend(precondition.violations.iter().map(|v| join(&v.subject, &v.description)));
    }
    if let Some(quota) = details.quota_failure() {
        lines.extend(quota.violations.iter().map(|v| join(&v.subject, &v.description)));
    }
    if let Some(resource) = details.resource_info()
        && !resource.description.is_empty()
        && resource.description != status.message()
    {
        lines.push(join(&resource.resource_name, &resource.description));
    }
    if let Some(info) = details.error_info() {
        let mut metadata: Vec<_> = info.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect();
        metadata.sort();
        let tail = if metadata.is_empty() { String::new() } else { format!(" ({})", metadata.join(", ")) };
        lines.push(format!("reason {}{tail}", info.reason));
    }
    lines
}

fn join(subject: &str, description: &str) -> String {
    if subject.is_empty() { description.to_owned() } else { format!("{subject}: {description}") }
}

/// What a person can do about it.
pub(crate) fn next_step(status: &Status) -> String {
    let details = status.get_error_details();
    if let Some(link) = details.help().and_then(|help| help.links.first()) {
        return join(&link.description, &link.url);
    }
    let again = details.retry_info().and_then(|retry| retry.retry_delay).map_or_else(
        || "try again in a moment".to_owned(),
        |wait| format!("try again in {}", quantity::time(wait)),
    );
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => match details.bad_request() {
            Some(_) => "correct the fields above; what is allowed: shanty api describe JobSpec".to_owned(),
            None => "see the fields of a request: shanty api describe SYMBOL".to_owned(),
        },
        Code::NotFound => match details.resource_info().map(|r| r.resource_name.as_str()) {
            Some(name) if name.starts_with("jobs/") => "see the jobs there are: shanty job list".to_owned(),
            Some(name) if name.starts_with("nodes/") => {
                "see the nodes there are: shanty node list".to_owned()
            }
            Some(_) => match details.resource_info().map_or("", |r| r.resource_type.as_str()) {
                "connection" => "see the connections there are: shanty connection list".to_owned(),
                "worker" => "see the nodes there are: shanty node list".to_owned(),
                _ => "see the runs there are: shanty run list".to_owned(),
            },
            None => "see the runs there are: shanty run list".to_owned(),
        },
        Code::AlreadyExists => "choose another name, or change what is there: shanty job update".to_owned(),
        Code::FailedPrecondition => "see how it stands now: shanty run get NAME, shanty node list".to_owned(),
        Code::Aborted => "read it again, then repeat your change".to_owned(),
        Code::ResourceExhausted => format!("see the workers (shanty node list), or {again}"),
        Code::Unavailable => format!("{again}; see who leads: shanty cluster status"),
        Code::DeadlineExceeded => "give it more time: --timeout 60s".to_owned(),
        Code::Unimplemented => {
            format!(
                "this client is {}; see the server's version: shanty cluster status",
                env!("CARGO_PKG_VERSION")
            )
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            "ask whoever runs the cluster for access".to_owned()
        }
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            "look into the log of the master; repeat with -o json for every detail".to_owned()
        }
    }
}

/// The name of a code as grpcurl prints it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    #[test]
    fn every_violation_has_its_line() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("spec.http_load.rate", "must be at least 0.001");
        details.add_bad_request_violation("spec.http_load.url", "must begin with http://");
        details.set_error_info("INVALID_SPEC", "shanty", HashMap::new());
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details);
        assert_eq!(
            super::details(&status),
            [
                "spec.http_load.rate: must be at least 0.001",
                "spec.http_load.url: must begin with http://",
                "reason INVALID_SPEC"
            ]
        );
        assert!(next_step(&status).contains("correct the fields"));
    }

    #[test]
    fn a_missing_job_sends_to_the_list_of_jobs() {
        let mut details = ErrorDetails::new();
        details.set_resource_info("job", "jobs/nigthly", "", "nearest names: nightly");
        let status = Status::with_error_details(Code::NotFound, "no job nigthly", details);
        assert_eq!(super::details(&status), ["jobs/nigthly: nearest names: nightly"]);
        assert!(next_step(&status).contains("shanty job list"));
    }
}
