//! The spec of a load test, in and out.
//!
//! In: messages, specs. Out: the other. Secrets of headers are not shown.
//! Tests: beside this file, in `spec`.

use crate::wire::time::{duration, pb_duration};
use shanty_model::kind::http_load::{self, StageSpec};
use shanty_model::violation::Violation;
use shanty_proto::v1 as pb;
use std::time::Duration;

pub(super) fn decode(spec: pb::HttpLoadSpec) -> Result<http_load::Spec, Vec<Violation>> {
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

pub(super) fn encode(spec: &http_load::Spec) -> pb::HttpLoadSpec {
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
