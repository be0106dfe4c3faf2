//! What an error of etcd's client means for the call: was it answered, surely not done, or is it unknown?
//!
//! In: errors of `etcd-client`. Out: a [`Verdict`] and words for people.
//! Tests: below.

use crate::coord::Error;
use std::error::Error as _;
use tonic::{Code, ConnectError};

/// What etcd that takes no writes needs.
const NO_SPACE: &str = "etcd is out of space and takes no writes: who leads goes on, nobody can take over. Compact it \
    (`etcdctl compact`), run `etcdctl defrag` on each member, then `etcdctl alarm disarm`";

/// A call that one member did not do as asked.
#[derive(Debug)]
pub(super) struct Failure {
    /// What it means.
    pub verdict: Verdict,
    /// The member and what happened.
    pub why: String,
}

/// What a failed call means.
#[derive(Debug)]
pub(super) enum Verdict {
    /// etcd said no; other members would say the same.
    Answered(Error),
    /// It never got to where it could be done: another member may be asked, whatever the call is.
    NotDone,
    /// It may have been done.
    Unknown,
}

pub(super) fn verdict(error: &etcd_client::Error) -> Verdict {
    use etcd_client::Error as E;
    match error {
        E::GRpcStatus(status) => of_status(status),
        // The client's words for a renewal that was answered with a time to live of zero.
        E::LeaseKeepAliveError(text) if text.contains("not found") => Verdict::Answered(Error::LeaseGone),
        E::InvalidArgs(_)
        | E::InvalidUri(_)
        | E::InvalidMetadataValue(_)
        | E::Utf8Error(_)
        | E::ElectError(_) => Verdict::Answered(Error::Refused(error.to_string())),
        E::EndpointError(_) | E::EndpointsNotManaged | E::Internal(_) => Verdict::NotDone,
        E::IoError(_) | E::TransportError(_) | E::WatchError(_) | E::LeaseKeepAliveError(_) => {
            Verdict::Unknown
        }
    }
}

fn of_status(status: &tonic::Status) -> Verdict {
    let text = status.message();
    match status.code() {
        _ if is_of_an_old_token(text) => Verdict::NotDone,
        Code::NotFound if text.contains("lease") => Verdict::Answered(Error::LeaseGone),
        Code::Unavailable if never_connected(status) || refused_before_it_began(text) => Verdict::NotDone,
        Code::ResourceExhausted if text.contains("too many requests") => Verdict::NotDone,
        Code::ResourceExhausted if text.contains("database space exceeded") => {
            Verdict::Answered(Error::Refused(NO_SPACE.to_owned()))
        }
        Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::DataLoss => Verdict::Unknown,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => {
            Verdict::Answered(Error::Refused(format!("{text} ({})", status.code().description())))
        }
    }
}

/// What members' errors mean, as a status tells them: their alarms, and that there is no leader, which calls tell too.
pub(super) fn ailment(errors: &[String]) -> Option<String> {
    let alarm = errors.iter().find(|error| error.contains("alarm:"))?;
    Some(if alarm.contains("NOSPACE") {
        NO_SPACE.to_owned()
    } else {
        format!("etcd has raised an alarm ({alarm}): see `etcdctl alarm list`")
    })
}

/// Whether the connection itself failed, so that nothing was sent.
fn never_connected(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// etcd's answer that comes before a request is proposed ("require leader" is checked first). A server that stops says
/// "server stopped" of what it has proposed as well.
fn refused_before_it_began(text: &str) -> bool {
    text.contains("etcdserver: no leader")
}

/// Whoever is refused for these was let in before, and will be again when a new client has shown its password: a member that
/// was restarted knows no token, and one of before a change of roles is not taken.
fn is_of_an_old_token(text: &str) -> bool {
    ["invalid auth token", "revision of auth store is old", "revision in header is old"]
        .iter()
        .any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, text: &str) -> Verdict {
        verdict(&etcd_client::Error::GRpcStatus(tonic::Status::new(code, text)))
    }

    #[test]
    fn a_lease_that_is_gone_is_told_apart_from_other_refusals() {
        let gone = of(Code::NotFound, "etcdserver: requested lease not found");
        assert!(matches!(gone, Verdict::Answered(Error::LeaseGone)));
        assert!(matches!(
            of(Code::PermissionDenied, "etcdserver: permission denied"),
            Verdict::Answered(Error::Refused(_))
        ));
        let space = of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        let Verdict::Answered(Error::Refused(words)) = space else { panic!("{space:?}") };
        assert!(words.contains("out of space") && words.contains("alarm disarm"), "{words}");
    }

    #[test]
    fn alarms_are_ailments_and_a_vacancy_is_none() {
        let errors = |text: &str| vec!["etcdserver: no leader".to_owned(), text.to_owned()];
        let space = ailment(&errors("memberID:10501334649042878790 alarm:NOSPACE "));
        assert!(space.is_some_and(|words| words.contains("etcdctl defrag")));
        let corrupt = ailment(&errors("memberID:1 alarm:CORRUPT "));
        assert!(corrupt.is_some_and(|words| words.contains("CORRUPT")));
        assert_eq!(ailment(&["etcdserver: no leader".to_owned()]), None);
    }

    #[test]
    fn a_write_that_may_have_been_done_is_unknown() {
        for text in ["etcdserver: request timed out", "etcdserver: leader changed", "transport closed"] {
            assert!(matches!(of(Code::Unavailable, text), Verdict::Unknown), "{text}");
        }
        assert!(matches!(of(Code::Unavailable, "etcdserver: no leader"), Verdict::NotDone));
        assert!(matches!(of(Code::ResourceExhausted, "etcdserver: too many requests"), Verdict::NotDone));
    }

    #[test]
    fn an_old_token_is_no_refusal_and_a_wrong_password_is_one() {
        let old = of(Code::Unauthenticated, "etcdserver: invalid auth token");
        assert!(matches!(old, Verdict::NotDone), "{old:?}");
        let old = of(Code::InvalidArgument, "etcdserver: revision of auth store is old");
        assert!(matches!(old, Verdict::NotDone), "{old:?}");
        // etcd 3.4 has no code of its own for it.
        let old = of(Code::Unknown, "auth: revision in header is old");
        assert!(matches!(old, Verdict::NotDone), "{old:?}");
        let text = "etcdserver: authentication failed, invalid user ID or password";
        assert!(matches!(of(Code::InvalidArgument, text), Verdict::Answered(Error::Refused(_))));
    }
}
