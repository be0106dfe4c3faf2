//! Specs and changes, in and out.
//!
//! Decoding only takes messages apart; what a field may hold is checked by the model. What the model has no
//! place for is found here: a duration or a count below nothing, a word that an enum does not have.
//! Tests: below and beside each kind.

mod db_sync;
mod http_load;

use shanty_model::kind::{self, Change, Spec};
use shanty_model::violation::Violation;
use shanty_proto::v1 as pb;

/// A spec from the wire.
///
/// # Errors
/// Every violation, fields as in `http_load.timeout`.
pub fn decode(spec: Option<pb::JobSpec>) -> Result<Spec, Vec<Violation>> {
    let kind = spec.and_then(|pb::JobSpec { kind }| kind);
    match kind {
        None => Err(vec![Violation::new("kind", "is mandatory: give http_load or db_sync")]),
        Some(pb::job_spec::Kind::HttpLoad(spec)) => {
            http_load::decode(spec).map(Spec::HttpLoad).map_err(|found| under(found, "http_load"))
        }
        Some(pb::job_spec::Kind::DbSync(spec)) => db_sync::decode(spec)
            .map(|spec| Spec::DbSync(Box::new(spec)))
            .map_err(|found| under(found, "db_sync")),
    }
}

/// A spec as the wire has it.
#[must_use]
pub fn encode(spec: &Spec) -> pb::JobSpec {
    let kind = match spec {
        Spec::HttpLoad(spec) => pb::job_spec::Kind::HttpLoad(http_load::encode(spec)),
        Spec::DbSync(spec) => pb::job_spec::Kind::DbSync(db_sync::encode(spec)),
    };
    pb::JobSpec { kind: Some(kind) }
}

/// A change from the wire.
///
/// # Errors
/// Every violation, and one when nothing was given.
pub fn decode_change(change: Option<pb::change_run_request::Change>) -> Result<Change, Vec<Violation>> {
    match change {
        None => Err(vec![Violation::new(
            "change",
            "is mandatory: say what to change, http_load as in {\"rate\": 500} or db_sync as in {\"workers\": 8}",
        )]),
        Some(pb::change_run_request::Change::HttpLoad(pb::HttpLoadChange { rate })) => {
            Ok(Change::HttpLoad(kind::http_load::Change { rate }))
        }
        Some(pb::change_run_request::Change::DbSync(change)) => {
            db_sync::decode_change(change).map(Change::DbSync).map_err(|found| under(found, "db_sync"))
        }
    }
}

fn under(found: Vec<Violation>, prefix: &str) -> Vec<Violation> {
    found.into_iter().map(|violation| violation.under(prefix)).collect()
}

/// How the wire writes a level of comparison: reports have it too.
pub(super) use db_sync::verify_word;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_goes_there_and_back_and_secrets_stay_here() {
        let pb = pb::HttpLoadSpec {
            url: "http://127.0.0.1/".into(),
            headers: [("x".to_owned(), "1".to_owned()), ("Authorization".to_owned(), "secret".to_owned())]
                .into(),
            rate: 0.5,
            duration: Some(prost_types::Duration { seconds: 10, nanos: 500 }),
            arrivals: pb::Arrivals::Poisson.into(),
            keep_alive: Some(false),
            body: Some(pb::http_load_spec::Body::Raw(vec![255])),
            ..pb::HttpLoadSpec::default()
        };
        let decoded =
            decode(Some(pb::JobSpec { kind: Some(pb::job_spec::Kind::HttpLoad(pb.clone())) })).unwrap();
        let Spec::HttpLoad(spec) = &decoded else { panic!("another kind") };
        assert_eq!(spec.headers["Authorization"], "secret");
        let Some(pb::job_spec::Kind::HttpLoad(mut back)) = encode(&decoded).kind else {
            panic!("another kind")
        };
        assert_eq!(back.headers.insert("Authorization".into(), "secret".into()).as_deref(), Some("***"));
        assert_eq!(back, pb);
    }

    #[test]
    fn negative_durations_and_a_missing_kind_are_violations() {
        assert_eq!(decode(None).unwrap_err()[0].field, "kind");
        let pb = pb::HttpLoadSpec {
            timeout: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            arrivals: 99,
            ..pb::HttpLoadSpec::default()
        };
        let found = decode(Some(pb::JobSpec { kind: Some(pb::job_spec::Kind::HttpLoad(pb)) })).unwrap_err();
        let fields: Vec<_> = found.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["http_load.timeout", "http_load.arrivals"]);
    }
}
