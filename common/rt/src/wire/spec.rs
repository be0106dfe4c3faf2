//! Specs and changes, in and out.
//!
//! Decoding only takes messages apart; what a field may hold is checked by the model. A duration that is
//! no duration is the one violation found here.
//! Tests: below.

use super::time::{duration, pb_duration};
use shanty_model::kind::http_load::{self, StageSpec};
use shanty_model::kind::{Change, Spec};
use shanty_model::violation::Violation;
use shanty_proto::v1 as pb;
use std::time::Duration;

/// A spec from the wire.
///
/// # Errors
/// Every violation, fields as in `http_load.timeout`.
pub fn decode(spec: Option<pb::JobSpec>) -> Result<Spec, Vec<Violation>> {
    let kind = spec.and_then(|pb::JobSpec { kind }| kind);
    match kind {
        None => Err(vec![Violation::new("kind", "is mandatory: give http_load")]),
        Some(pb::job_spec::Kind::HttpLoad(spec)) => decode_http_load(spec)
            .map(Spec::HttpLoad)
            .map_err(|found| found.into_iter().map(|v| v.under("http_load")).collect()),
    }
}

/// A spec as the wire has it.
#[must_use]
pub fn encode(spec: &Spec) -> pb::JobSpec {
    let kind = match spec {
        Spec::HttpLoad(spec) => pb::job_spec::Kind::HttpLoad(encode_http_load(spec)),
    };
    pb::JobSpec { kind: Some(kind) }
}

/// A change from the wire.
///
/// # Errors
/// A violation when nothing was given.
pub fn decode_change(change: Option<pb::change_run_request::Change>) -> Result<Change, Vec<Violation>> {
    match change {
        None => Err(vec![Violation::new(
            "http_load",
            "is mandatory: say what to change, for example {\"rate\": 500}",
        )]),
        Some(pb::change_run_request::Change::HttpLoad(pb::HttpLoadChange { rate })) => {
            Ok(Change::HttpLoad(http_load::Change { rate }))
        }
    }
}

fn decode_http_load(spec: pb::HttpLoadSpec) -> Result<http_load::Spec, Vec<Violation>> {
    let pb::HttpLoadSpec {
        url,
        method,
        headers,
        body,
        rate,
        duration: whole,
        stages,
        arrivals,
        seed,
        connections,
        max_connections,
        timeout,
        keep_alive,
        warm_up,
        thresholds,
    } = spec;
    let mut found = Vec::new();
    let mut time = |field: String, given: Option<prost_types::Duration>| -> Option<Duration> {
        let given = given?;
        let decoded = duration(&given);
        if decoded.is_none() {
            found.push(Violation::new(field, "must not be negative, for example \"10s\""));
        }
        decoded
    };
    let whole = time("duration".into(), whole);
    let timeout = time("timeout".into(), timeout);
    let warm_up = time("warm_up".into(), warm_up);
    let stages = stages
        .into_iter()
        .enumerate()
        .map(|(i, pb::LoadStage { rate, duration, ramp })| StageSpec {
            rate,
            duration: time(format!("stages[{i}].duration"), duration).unwrap_or_default(),
            ramp,
        })
        .collect();
    let arrivals = match pb::Arrivals::try_from(arrivals) {
        Ok(pb::Arrivals::Unspecified | pb::Arrivals::Uniform) => http_load::Arrivals::Uniform,
        Ok(pb::Arrivals::Poisson) => http_load::Arrivals::Poisson,
        Err(_) => {
            found.push(Violation::new("arrivals", "must be UNIFORM or POISSON"));
            http_load::Arrivals::Uniform
        }
    };
    if !found.is_empty() {
        return Err(found);
    }
    Ok(http_load::Spec {
        url,
        method,
        headers: headers.into_iter().collect(),
        body: body.map(|body| match body {
            pb::http_load_spec::Body::Text(text) => text.into_bytes(),
            pb::http_load_spec::Body::Raw(raw) => raw,
        }),
        rate: (rate != 0.0).then_some(rate),
        duration: whole,
        stages,
        arrivals,
        seed,
        connections: (connections != 0).then_some(connections),
        max_connections: (max_connections != 0).then_some(max_connections),
        timeout,
        keep_alive,
        warm_up,
        thresholds,
    })
}

fn encode_http_load(spec: &http_load::Spec) -> pb::HttpLoadSpec {
    let http_load::Spec {
        url,
        method,
        headers,
        body,
        rate,
        duration,
        stages,
        arrivals,
        seed,
        connections,
        max_connections,
        timeout,
        keep_alive,
        warm_up,
        thresholds,
    } = spec;
    let body = body.as_ref().map(|bytes| match String::from_utf8(bytes.clone()) {
        Ok(text) => pb::http_load_spec::Body::Text(text),
        Err(raw) => pb::http_load_spec::Body::Raw(raw.into_bytes()),
    });
    pb::HttpLoadSpec {
        url: url.clone(),
        method: method.clone(),
        headers: headers
            .clone()
            .into_iter()
            .map(|(name, value)| {
                let shown = redacted(&name, value);
                (name, shown)
            })
            .collect(),
        body,
        rate: rate.unwrap_or(0.0),
        duration: duration.map(pb_duration),
        stages: stages
            .iter()
            .map(|StageSpec { rate, duration, ramp }| pb::LoadStage {
                rate: *rate,
                duration: Some(pb_duration(*duration)),
                ramp: *ramp,
            })
            .collect(),
        arrivals: match arrivals {
            http_load::Arrivals::Uniform => pb::Arrivals::Uniform.into(),
            http_load::Arrivals::Poisson => pb::Arrivals::Poisson.into(),
        },
        seed: *seed,
        connections: connections.unwrap_or(0),
        max_connections: max_connections.unwrap_or(0),
        timeout: timeout.map(pb_duration),
        keep_alive: *keep_alive,
        warm_up: warm_up.map(pb_duration),
        thresholds: thresholds.clone(),
    }
}

/// Headers that carry secrets are not shown in answers.
fn redacted(name: &str, value: String) -> String {
    let secret = ["authorization", "proxy-authorization", "cookie"];
    if secret.iter().any(|header| name.eq_ignore_ascii_case(header)) { "***".to_owned() } else { value }
}

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
        let Spec::HttpLoad(spec) = &decoded;
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
