//! The wish for a run from flags or from a file.
//!
//! In: flags, or canonical JSON of `JobSpec` from a file or standard input. Out: a `JobSpec`.
//! Never: checks what the cluster checks; it answers all violations at once.
//! Tests: below.

use crate::error::Error;
use crate::{json, quantity};
use clap::Args;
use shanty_proto::v1;
use std::io::Read as _;
use std::time::Duration;

/// Flags that say what a run does.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpecArgs {
    /// The spec as JSON, as grpcurl would send it ({"http_load":{…}}); - reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "Load")]
    pub(crate) file: Option<String>,
    /// A load test from flags.
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// Flags of a load test.
#[derive(Debug, Clone, Args)]
#[group(id = "Load", multiple = true)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Target, http://HOST:PORT/PATH
    #[arg(long, required_unless_present = "file")]
    url: Option<String>,
    /// Open loop: arrivals per second over all workers together (0.5, 2000, 10k)
    #[arg(long, value_parser = quantity::amount, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// How long requests are sent, warm-up included (10s, 1m30s)
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// Closed loop: this many connections, each sends again when it has its answer
    #[arg(long)]
    connections: Option<u32>,
    /// A stage RATE:TIME of a schedule, ~RATE:TIME for a ramp; repeat for more
    #[arg(long, value_parser = quantity::stage, value_name = "STAGE")]
    stage: Vec<v1::LoadStage>,
    /// Random gaps as of independent users instead of equal ones
    #[arg(long)]
    poisson: bool,
    /// Seed of the random gaps
    #[arg(long)]
    seed: Option<u32>,
    /// Open loop: most connections over all workers together
    #[arg(long)]
    max_connections: Option<u32>,
    /// HTTP method
    #[arg(long)]
    method: Option<String>,
    /// A request header NAME: VALUE; repeat for more
    #[arg(long, short = 'H', value_parser = quantity::header, value_name = "HEADER")]
    header: Vec<(String, String)>,
    /// Request body
    #[arg(long, conflicts_with = "body_file", value_name = "TEXT")]
    body: Option<String>,
    /// Request body from a file, as it is
    #[arg(long, value_name = "FILE")]
    body_file: Option<std::path::PathBuf>,
    /// A request without an answer after this counts as a timeout error
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    timeout_request: Option<Duration>,
    /// A new connection for every request
    #[arg(long)]
    no_keep_alive: bool,
    /// Send but do not measure at the beginning
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    warm_up: Option<Duration>,
    /// A condition on the result, for example 'p99_ms<50' or 'error_rate<0.01'; repeat for more
    #[arg(long, value_name = "CONDITION")]
    threshold: Vec<String>,
}

impl SpecArgs {
    /// The wish that these flags stand for.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else.
    pub(crate) fn spec(self) -> Result<v1::JobSpec, Error> {
        match &self.file {
            Some(path) => json::read(&read_text(path)?, shown(path)).map_err(Error::Json),
            None => self.load.spec(),
        }
    }
}

impl LoadArgs {
    fn spec(self) -> Result<v1::JobSpec, Error> {
        use v1::http_load_spec::Body;
        let body = match (self.body, self.body_file) {
            (Some(text), _) => Some(Body::Text(text)),
            (None, Some(path)) => {
                let bytes =
                    std::fs::read(&path).map_err(|error| unreadable(&path.display().to_string(), &error))?;
                Some(match String::from_utf8(bytes) {
                    Ok(text) => Body::Text(text),
                    Err(binary) => Body::Raw(binary.into_bytes()),
                })
            }
            (None, None) => None,
        };
        let load = v1::HttpLoadSpec {
            url: self.url.unwrap_or_default(),
            method: self.method.unwrap_or_default(),
            headers: self.header.into_iter().collect(),
            rate: self.rate.unwrap_or_default(),
            duration: self.duration.map(quantity::proto_duration),
            stages: self.stage,
            arrivals: if self.poisson { v1::Arrivals::Poisson } else { v1::Arrivals::Unspecified }.into(),
            seed: self.seed.unwrap_or_default(),
            connections: self.connections.unwrap_or_default(),
            max_connections: self.max_connections.unwrap_or_default(),
            timeout: self.timeout_request.map(quantity::proto_duration),
            keep_alive: self.no_keep_alive.then_some(false),
            warm_up: self.warm_up.map(quantity::proto_duration),
            thresholds: self.threshold,
            body,
        };
        Ok(v1::JobSpec { kind: Some(v1::job_spec::Kind::HttpLoad(load)) })
    }
}

fn shown(path: &str) -> &str {
    if path == "-" { "standard input" } else { path }
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &str) -> Result<String, Error> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        _ => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)).map(drop),
    };
    read.map(|()| text).map_err(|error| unreadable(shown(path), &error))
}

fn unreadable(path: &str, error: &std::io::Error) -> Error {
    Error::wrong(format!("cannot read {path}: {error}"), "check the name; - reads standard input")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        spec: SpecArgs,
    }

    fn load(words: &[&str]) -> v1::HttpLoadSpec {
        let line = Line::try_parse_from([&["x"], words].concat()).unwrap();
        match line.spec.spec().unwrap().kind.unwrap() {
            v1::job_spec::Kind::HttpLoad(load) => load,
            v1::job_spec::Kind::DbSync(_) => panic!("another kind"),
        }
    }

    #[test]
    fn flags_become_the_spec_that_json_would_be() {
        let flags = load(&[
            "--url=http://h/",
            "--rate=2k",
            "--duration=10s",
            "--threshold=p99_ms<50",
            "--header=a: b",
            "--no-keep-alive",
            "--poisson",
            "--warm-up=500ms",
        ]);
        let json: v1::JobSpec = json::read(
            r#"{"http_load":{"url":"http://h/","rate":2000,"duration":"10s","thresholds":["p99_ms<50"],
                "headers":{"a":"b"},"keep_alive":false,"arrivals":"POISSON","warm_up":"0.5s"}}"#,
            "test",
        )
        .unwrap();
        assert_eq!(json.kind, Some(v1::job_spec::Kind::HttpLoad(flags)));
    }

    #[test]
    fn what_is_not_given_stays_unset_for_the_cluster_to_default() {
        let spec = load(&["--url=http://h/"]);
        assert_eq!(spec, v1::HttpLoadSpec { url: "http://h/".into(), ..v1::HttpLoadSpec::default() });
    }

    #[test]
    fn stages_keep_their_order() {
        let spec = load(&["--url=http://h/", "--stage=100:10s", "--stage=~500:20s"]);
        let stages: Vec<_> = spec.stages.iter().map(|s| (s.rate, s.ramp)).collect();
        assert_eq!(stages, [(100.0, false), (500.0, true)]);
    }

    #[test]
    fn a_file_and_flags_exclude_each_other_and_one_is_needed() {
        assert!(Line::try_parse_from(["x", "-f", "s.json", "--rate", "1"]).is_err());
        assert!(Line::try_parse_from(["x"]).is_err());
        assert!(Line::try_parse_from(["x", "-f", "s.json"]).is_ok());
    }

    #[test]
    fn a_body_that_is_no_text_travels_as_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff, 0x00]).unwrap();
        let spec = load(&["--url=http://h/", "--body-file", file.path().to_str().unwrap()]);
        assert_eq!(spec.body, Some(v1::http_load_spec::Body::Raw(vec![0xff, 0x00])));
    }
}
