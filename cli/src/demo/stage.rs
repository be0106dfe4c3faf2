//! What every story of the demo has: a cluster of child processes that is ready, and what to type afterwards.
//!
//! In: a crew, extra flags for the workers. Out: the way to the cluster; lines to go on with.
//! Tests: `cli/tests/demo.rs`.

use super::crew::Crew;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::{node, quantity};
use shanty_proto::v1;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long processes may take until the cluster is ready, and a run until it begins.
pub(super) const READY: Duration = Duration::from_secs(20);
/// How often something is looked at that is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// The workers.
pub(super) const WORKERS: [&str; 3] = ["w1", "w2", "w3"];

/// How the story ended.
pub(super) struct Ended {
    /// What the run's end means.
    pub(super) exit: Exit,
    /// Where the cluster is, or was.
    pub(super) addr: String,
    /// The run.
    pub(super) run: String,
    /// Whether the cluster stays.
    pub(super) kept: bool,
    /// What to do with a cluster.
    pub(super) next: Next,
}

/// What to type to do the same with a cluster of one's own.
pub(super) struct Next {
    /// Commands that make what the request needs, without the program's name; not needed while the demo's own
    /// cluster stays.
    pub(super) prepare: Vec<String>,
    /// The request as JSON.
    pub(super) request: String,
    /// The message that describes it.
    pub(super) symbol: &'static str,
    /// The same as flags of this program.
    pub(super) start: String,
}

impl Ended {
    /// Commands to go on with.
    pub(super) fn go_on(&self, cx: &Context) -> String {
        let err = cx.screen.err;
        let program = crate::context::program();
        let mut lines = Vec::new();
        let addr = if self.kept { self.addr.as_str() } else { crate::context::DEFAULT_ADDR };
        let at = |words: &str| format!("  {}", err.code(words));
        if self.kept {
            lines.push(err.strong("\nGo on, with grpcurl or without:"));
        } else {
            lines.push(err.strong("\nEverything is stopped and removed. To go on, with things of your own:"));
            lines.extend(self.next.prepare.iter().map(|words| at(&format!("{program} {words}"))));
            lines.push(err.strong("then, from another terminal, with grpcurl or without:"));
        }
        let request = &self.next.request;
        lines.push(at(&format!("grpcurl -plaintext -d '{request}' {addr} shanty.v1.RunService/RunAndWatch")));
        if self.kept {
            let get = format!(r#"{{"name":"{}"}}"#, self.run);
            lines.push(at(&format!("grpcurl -plaintext -d '{get}' {addr} shanty.v1.RunService/GetReport")));
        }
        lines.push(at(&format!("grpcurl -plaintext {addr} describe shanty.v1.{}", self.next.symbol)));
        lines.push(at(&cx.at(addr).command(&self.next.start)));
        lines.join("\n")
    }
}

/// Starts a master at `master` and three workers with `flags`, and waits until they are ready.
///
/// # Errors
/// When something does not start.
pub(super) async fn gather(
    cx: &Context,
    crew: &mut Crew,
    master: &str,
    flags: &[String],
) -> Result<Context, Error> {
    let data = |name: &str| crew.folder().join(name).display().to_string();
    let store = format!("sqlite://{}", crew.folder().join("m1").join("shanty.db").display());
    let (m1, folders) = (data("m1"), WORKERS.map(data));
    for folder in folders.iter().chain([&m1]) {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::local(format!("cannot make {folder}: {error}"), "name another place: TMPDIR=/path")
        })?;
    }
    crew.start("m1", &["master", "--node", "m1", "--listen", master, "--store", &store, "--data", &m1])?;
    for (worker, folder) in WORKERS.iter().zip(&folders) {
        let own = ["worker", "--node", worker, "--masters", master, "--data", folder];
        let words: Vec<&str> = own.into_iter().chain(flags.iter().map(String::as_str)).collect();
        crew.start(worker, &words)?;
    }
    let cx = cx.at(master);
    let until = Instant::now() + READY;
    loop {
        crew.check()?;
        if node::workers_ready(&cx).await >= WORKERS.len() {
            return Ok(cx);
        }
        if Instant::now() > until {
            return Err(Error::local(
                format!("the cluster is not ready after {}", quantity::time(READY)),
                format!("look into the logs while it starts: {}/*.log", crew.folder().display()),
            ));
        }
        sleep(LOOK).await;
    }
}

/// How long ago a time of the cluster was, on this machine, which is the same; negative when it lies ahead.
pub(super) fn ago_ms(time: &prost_types::Timestamp) -> i64 {
    let ms = time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000);
    shanty_rt::clock::unix_ms().saturating_sub(ms)
}

/// The run's request.
pub(super) fn start_request(kind: v1::job_spec::Kind) -> v1::StartRunRequest {
    v1::StartRunRequest {
        spec: Some(v1::JobSpec { kind: Some(kind) }),
        request_id: crate::client::request_id(),
        validate_only: false,
    }
}
