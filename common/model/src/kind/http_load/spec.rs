//! The user's wish for a load test, its check, and what it comes to.
//!
//! In: a [`Spec`] as it was typed. Out: all its violations, or a [`Settled`] spec with nothing left open.
//! Tests: below.

use super::Threshold;

use crate::kind::Limits;
use crate::rate::{self, Load, Schedule, Stage};
use crate::violation::Violation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A load test as it was typed: nothing filled in, nothing checked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Target, `http://host[:port][/path][?query]`.
    pub url: String,
    /// HTTP method; empty for GET.
    pub method: String,
    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// Request body.
    #[serde(with = "serde_bytes")]
    pub body: Option<Vec<u8>>,
    /// Arrivals per second over all workers.
    pub rate: Option<f64>,
    /// How long requests are sent, warm-up included.
    pub duration: Option<Duration>,
    /// A rate that changes over time.
    pub stages: Vec<StageSpec>,
    /// How arrivals are spaced.
    pub arrivals: Arrivals,
    /// Seed of random arrivals; 0 for 1.
    pub seed: u32,
    /// Closed loop: connections over all workers.
    pub connections: Option<u32>,
    /// Open loop: most connections over all workers.
    pub max_connections: Option<u32>,
    /// Time from the intended start after which a request counts as an error.
    pub timeout: Option<Duration>,
    /// Whether a connection is used again.
    pub keep_alive: Option<bool>,
    /// This much of the beginning is not measured.
    pub warm_up: Option<Duration>,
    /// Conditions on the result, as text.
    pub thresholds: Vec<String>,
}

/// One stage as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    /// Rate at the end, arrivals per second.
    pub rate: f64,
    /// Length.
    pub duration: Duration,
    /// A straight line from the last stage's rate.
    pub ramp: bool,
}

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Equal gaps.
    #[default]
    Uniform,
    /// Random gaps.
    Poisson,
}

/// A target taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What goes into the Host header.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub path: String,
}

/// A spec with nothing left open: what the engine sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Target.
    pub url: Url,
    /// HTTP method.
    pub method: http::Method,
    /// Headers in order of name.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Body; empty for none.
    pub body: Vec<u8>,
    /// The load of all workers together.
    pub load: Load,
    /// Open loop: most connections over all workers; none for the engine's default per worker.
    pub max_connections: Option<u32>,
    /// Time from the intended start after which a request counts as an error.
    pub timeout: Duration,
    /// Whether a connection is used again.
    pub keep_alive: bool,
    /// This much of the beginning is not measured, nanoseconds.
    pub warm_up_ns: u64,
    /// Conditions on the result.
    pub thresholds: Vec<Threshold>,
}

/// What may change while a load test goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The rate from now to the end, arrivals per second.
    pub rate: f64,
}

/// The lowest rate above 0, arrivals per second: the resolution of the schedule.
const MIN_RATE: f64 = 0.001;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The histogram's range.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_BODY: usize = 1 << 20;
const MAX_HEADERS: usize = 100;
const MAX_STAGES: usize = 100;
const MAX_THRESHOLDS: usize = 20;

/// A rate in milli-arrivals per second, rounded to the nearest; 0 for what is no rate.
#[must_use]
pub fn milli(rate: f64) -> u64 {
    let scaled = (rate * 1000.0).round();
    if scaled.is_finite() && scaled > 0.0 && scaled < 1e15 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just above")]
        let whole = scaled as u64;
        whole
    } else {
        0
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Spec {
    /// All that is wrong with it, fields as in `rate`.
    #[must_use]
    pub fn check(&self, limits: &Limits) -> Vec<Violation> {
        match self.settle() {
            Err(violations) => {
                let mut violations = violations;
                self.check_limits(limits, &mut violations);
                violations
            }
            Ok(settled) => {
                let mut violations = Vec::new();
                if let Ok(address) = settled.url.host.parse()
                    && let Err(refusal) = limits.targets.permits(&settled.url.host, address)
                {
                    violations.push(Violation::new("url", refusal.to_string()));
                }
                self.check_limits(limits, &mut violations);
                violations
            }
        }
    }

    fn check_limits(&self, limits: &Limits, found: &mut Vec<Violation>) {
        let mut over_rate = |field: String, rate: f64| {
            if rate > limits.max_rate {
                found.push(Violation::new(
                    field,
                    format!("must not be over the cluster's cap of {}/s", limits.max_rate),
                ));
            }
        };
        if let Some(rate) = self.rate {
            over_rate("rate".into(), rate);
        }
        for (i, stage) in self.stages.iter().enumerate() {
            over_rate(format!("stages[{i}].rate"), stage.rate);
        }
        for (field, connections) in
            [("connections", self.connections), ("max_connections", self.max_connections)]
        {
            if connections.is_some_and(|n| n > limits.max_connections) {
                let cap = limits.max_connections;
                found.push(Violation::new(field, format!("must not be over the cluster's cap of {cap}")));
            }
        }
        let longest = Duration::from_secs(limits.max_duration_s);
        if self.duration.is_some_and(|d| d > longest) {
            let message = format!("must not be over the cluster's cap of {}s", limits.max_duration_s);
            found.push(Violation::new("duration", message));
        }
        if self.stages.iter().map(|s| s.duration).fold(Duration::ZERO, Duration::saturating_add) > longest {
            let message =
                format!("must not be longer together than the cluster's cap of {}s", limits.max_duration_s);
            found.push(Violation::new("stages", message));
        }
    }

    /// What it comes to, with all defaults filled in.
    ///
    /// # Errors
    /// All violations that do not depend on a cluster's limits.
    pub fn settle(&self) -> Result<Settled, Vec<Violation>> {
        let mut found = Vec::new();
        let url = parse_url(&self.url).map_err(|message| found.push(Violation::new("url", message))).ok();
        let method = self.settle_method(&mut found);
        let headers = self.settle_headers(&mut found);
        let load = self.settle_load(&mut found);
        let timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            found.push(Violation::new("timeout", "must be more than 0s and at most 60s"));
        }
        let warm_up_ns = self.warm_up.map_or(0, nanos);
        if let Some(load) = &load
            && warm_up_ns > 0
            && warm_up_ns >= load.end_ns()
        {
            found.push(Violation::new("warm_up", "must be shorter than the duration"));
        }
        if self.body.as_ref().is_some_and(|body| body.len() > MAX_BODY) {
            found.push(Violation::new("text", "a body may have at most 1 MiB"));
        }
        let thresholds = self.settle_thresholds(&mut found);
        match (url, method, load) {
            (Some(url), Some(method), Some(load)) if found.is_empty() => Ok(Settled {
                url,
                method,
                headers,
                body: self.body.clone().unwrap_or_default(),
                load,
                max_connections: self.max_connections,
                timeout,
                keep_alive: self.keep_alive.unwrap_or(true),
                warm_up_ns,
                thresholds,
            }),
            _ => Err(found),
        }
    }

    fn settle_method(&self, found: &mut Vec<Violation>) -> Option<http::Method> {
        if self.method.is_empty() {
            return Some(http::Method::GET);
        }
        let method = http::Method::from_bytes(self.method.as_bytes())
            .ok()
            .filter(|m| m.as_str().bytes().all(|b| b.is_ascii_uppercase()) && *m != http::Method::CONNECT);
        if method.is_none() {
            found.push(Violation::new(
                "method",
                "must be an upper-case HTTP method such as GET or POST, not CONNECT",
            ));
        }
        method
    }

    fn settle_headers(&self, found: &mut Vec<Violation>) -> Vec<(http::HeaderName, http::HeaderValue)> {
        if self.headers.len() > MAX_HEADERS {
            found.push(Violation::new("headers", format!("at most {MAX_HEADERS} are allowed")));
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let field = format!("headers[\"{name}\"]");
            match (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_str(value)) {
                (Ok(name), Ok(_))
                    if name == http::header::TRANSFER_ENCODING || name == http::header::CONTENT_LENGTH =>
                {
                    found.push(Violation::new(field, "is set by the engine from the body"));
                }
                (Ok(name), Ok(value)) => headers.push((name, value)),
                (Err(_), _) => found.push(Violation::new(field, "is not an HTTP header name")),
                (_, Err(_)) => {
                    found.push(Violation::new(field, "the value must be visible ASCII without line breaks"))
                }
            }
        }
        headers
    }

    fn settle_load(&self, found: &mut Vec<Violation>) -> Option<Load> {
        let before = found.len();
        let given = [self.rate.is_some(), !self.stages.is_empty(), self.connections.is_some()];
        if given.iter().filter(|g| **g).count() != 1 {
            let message = "give exactly one of rate, stages (open loop) and connections (closed loop)";
            found.push(Violation::new("rate", message));
        }
        if self.stages.is_empty() {
            match self.duration {
                None => found.push(Violation::new("duration", "is mandatory, for example \"10s\"")),
                Some(d) if d < Duration::from_millis(1) => {
                    found.push(Violation::new("duration", "must be at least 0.001s"));
                }
                Some(_) => {}
            }
        } else if self.duration.is_some() {
            found.push(Violation::new("duration", "must be absent: the stages have their own"));
        }
        if self.max_connections == Some(0) {
            found.push(Violation::new("max_connections", "must be at least 1"));
        }
        if self.connections.is_some() && self.max_connections.is_some() {
            found.push(Violation::new(
                "max_connections",
                "is for an open loop; a closed loop has connections",
            ));
        }
        let stages = self.settle_stages(found);
        match self.connections {
            Some(0) => found.push(Violation::new("connections", "must be at least 1")),
            Some(connections) if found.len() == before => {
                return Some(Load::Closed { connections, end_ns: self.duration.map_or(0, nanos) });
            }
            Some(_) | None => {}
        }
        (found.len() == before).then(|| {
            let arrivals = match self.arrivals {
                Arrivals::Uniform => rate::Arrivals::Uniform,
                Arrivals::Poisson => rate::Arrivals::Poisson { seed: u64::from(self.seed.max(1)) },
            };
            Load::Open { schedule: Schedule::new(&stages), arrivals }
        })
    }

    fn settle_stages(&self, found: &mut Vec<Violation>) -> Vec<Stage> {
        if let Some(rate) = self.rate {
            if !(rate.is_finite() && rate >= MIN_RATE) {
                found.push(Violation::new("rate", format!("must be a number of at least {MIN_RATE}")));
            }
            return vec![Stage {
                rate_milli: milli(rate),
                len_ns: self.duration.map_or(0, nanos),
                ramp: false,
            }];
        }
        if self.stages.len() > MAX_STAGES {
            found.push(Violation::new("stages", format!("at most {MAX_STAGES} are allowed")));
        }
        let mut stages = Vec::with_capacity(self.stages.len());
        for (i, stage) in self.stages.iter().enumerate() {
            if !(stage.rate.is_finite() && (stage.rate == 0.0 || stage.rate >= MIN_RATE)) {
                found.push(Violation::new(
                    format!("stages[{i}].rate"),
                    format!("must be 0 or at least {MIN_RATE}"),
                ));
            }
            if stage.duration < Duration::from_millis(1) {
                found.push(Violation::new(format!("stages[{i}].duration"), "must be at least 0.001s"));
            }
            stages.push(Stage {
                rate_milli: milli(stage.rate),
                len_ns: nanos(stage.duration),
                ramp: stage.ramp,
            });
        }
        stages
    }

    fn settle_thresholds(&self, found: &mut Vec<Violation>) -> Vec<Threshold> {
        if self.thresholds.len() > MAX_THRESHOLDS {
            found.push(Violation::new("thresholds", format!("at most {MAX_THRESHOLDS} are allowed")));
        }
        let mut thresholds = Vec::with_capacity(self.thresholds.len());
        for (i, text) in self.thresholds.iter().enumerate() {
            match text.parse() {
                Ok(threshold) => thresholds.push(threshold),
                Err(message) => found.push(Violation::new(format!("thresholds[{i}]"), message)),
            }
        }
        thresholds
    }
}

impl Change {
    /// All that is wrong with it for a run of `spec`.
    #[must_use]
    pub fn check(&self, spec: &Spec, limits: &Limits) -> Vec<Violation> {
        let mut found = Vec::new();
        if spec.connections.is_some() {
            found.push(Violation::new("rate", "cannot change in a closed loop, which has none"));
        }
        if !(self.rate.is_finite() && (self.rate == 0.0 || self.rate >= MIN_RATE)) {
            found.push(Violation::new("rate", format!("must be 0 or a number of at least {MIN_RATE}")));
        }
        if self.rate > limits.max_rate {
            found.push(Violation::new(
                "rate",
                format!("must not be over the cluster's cap of {}/s", limits.max_rate),
            ));
        }
        found
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    const FORM: &str = "must look like http://host:port/path";
    if text.is_empty() {
        return Err(format!("is mandatory and {FORM}"));
    }
    let uri: http::Uri = text.parse().map_err(|_| FORM.to_owned())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err("https is not supported yet: load the plain HTTP port behind the TLS end".to_owned());
        }
        _ => return Err(FORM.to_owned()),
    }
    let authority = uri.authority().ok_or_else(|| FORM.to_owned())?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user and password: use the header Authorization".to_owned());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str() == authority.host() => 80,
        None => return Err(FORM.to_owned()),
    };
    if host.is_empty() || port == 0 {
        return Err(FORM.to_owned());
    }
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Url { host, port, authority: authority.as_str().to_owned(), path })
}

/// A policy that refuses nothing that is a plain unicast address: for tests of other rooms.
#[cfg(test)]
fn lenient() -> Limits {
    Limits { targets: super::TargetPolicy::allowing(&["0.0.0.0/0", "::/0"]).unwrap(), ..Limits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Spec {
        Spec {
            url: "http://127.0.0.1:8080/a?b=c".into(),
            rate: Some(2000.0),
            duration: Some(Duration::from_secs(10)),
            thresholds: vec!["p99_ms<50".into()],
            ..Spec::default()
        }
    }

    fn fields(spec: &Spec) -> Vec<String> {
        spec.check(&Limits::default()).into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn a_plain_spec_settles_with_its_defaults() {
        let settled = open().settle().unwrap();
        assert_eq!(
            settled.url,
            Url {
                host: "127.0.0.1".into(),
                port: 8080,
                authority: "127.0.0.1:8080".into(),
                path: "/a?b=c".into()
            }
        );
        assert_eq!(settled.method, http::Method::GET);
        assert_eq!(settled.load.rate_at(0), 2000.0);
        assert_eq!(settled.load.end_ns(), 10_000_000_000);
        assert!(settled.keep_alive);
        assert!(fields(&open()).is_empty());
    }

    #[test]
    fn all_violations_come_at_once_with_their_fields() {
        let spec = Spec {
            url: "ftp://x".into(),
            method: "get".into(),
            headers: [("bad name".to_owned(), "v".to_owned()), ("content-length".to_owned(), "1".to_owned())]
                .into(),
            rate: Some(-1.0),
            connections: Some(0),
            timeout: Some(Duration::from_secs(61)),
            thresholds: vec!["p99<".into()],
            ..Spec::default()
        };
        assert_eq!(
            fields(&spec),
            [
                "url",
                "method",
                "headers[\"bad name\"]",
                "headers[\"content-length\"]",
                "rate",
                "duration",
                "rate",
                "connections",
                "timeout",
                "thresholds[0]"
            ]
        );
    }

    #[test]
    fn urls_are_taken_apart_or_refused_with_the_form() {
        assert_eq!(parse_url("http://[::1]:99").unwrap().host, "::1");
        assert_eq!(parse_url("http://localhost").unwrap().port, 80);
        assert_eq!(parse_url("http://h:1?x").unwrap().path, "/?x");
        for bad in
            ["", "127.0.0.1:80", "http://", "http://a:b/", "http://u:p@h/", "https://h/", "http://h:0/"]
        {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn caps_and_public_targets_are_refused() {
        let spec = Spec { rate: Some(5e6), url: "http://93.184.216.34/".into(), ..open() };
        assert_eq!(fields(&spec), ["url", "rate"]);
        assert_eq!(spec.check(&lenient()).len(), 1);
        let long = Spec { duration: Some(Duration::from_secs(90_000)), ..open() };
        assert_eq!(fields(&long), ["duration"]);
    }

    #[test]
    fn a_closed_loop_has_no_rate_to_change() {
        let spec = Spec { rate: None, connections: Some(4), ..open() };
        assert_eq!(spec.settle().unwrap().load, Load::Closed { connections: 4, end_ns: 10_000_000_000 });
        assert_eq!(Change { rate: 5.0 }.check(&spec, &Limits::default()).len(), 1);
        assert!(Change { rate: 5.0 }.check(&open(), &Limits::default()).is_empty());
        assert_eq!(Change { rate: f64::NAN }.check(&open(), &Limits::default()).len(), 1);
    }

    #[test]
    fn the_spec_survives_json() {
        let spec = Spec { body: Some(vec![0, 255]), ..open() };
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec);
    }
}
