//! What every story of the demo has: a cluster of child processes that is ready, and what to type afterwards.
//!
//! In: a crew, extra flags for the workers. Out: the way to the cluster; the report; lines to go on with.
//! Tests: `cli/tests/demo.rs`.

use super::crew::Crew;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::run::fetch;
use crate::screen::Output;
use crate::{node, quantity, report};
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
    /// More to look at, without the program's name.
    pub(super) more: Vec<String>,
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
        let own = [&self.next.start].into_iter().chain(&self.next.more);
        lines.extend(own.map(|words| at(&cx.at(addr).command(words))));
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
    let data = folder(crew, "m1")?;
    let store = format!("sqlite://{data}/shanty.db");
    crew.start("m1", &["master", "--node", "m1", "--listen", master, "--store", &store, "--data", &data])?;
    start_workers(crew, master, flags)?;
    let cx = cx.at(master);
    until_ready(crew, async || node::workers_ready(&cx).await >= WORKERS.len()).await?;
    Ok(cx)
}

/// Starts the workers; they attach to `masters`.
///
/// # Errors
/// When one does not start.
pub(super) fn start_workers(crew: &mut Crew, masters: &str, flags: &[String]) -> Result<(), Error> {
    for worker in WORKERS {
        let data = folder(crew, worker)?;
        let own = ["worker", "--node", worker, "--masters", masters, "--data", &data];
        let words: Vec<&str> = own.into_iter().chain(flags.iter().map(String::as_str)).collect();
        crew.start(worker, &words)?;
    }
    Ok(())
}

/// Makes a member's folder.
///
/// # Errors
/// When it cannot be made.
pub(super) fn folder(crew: &Crew, name: &str) -> Result<String, Error> {
    let path = crew.folder().join(name);
    std::fs::create_dir_all(&path).map_err(|error| {
        Error::local(format!("cannot make {}: {error}", path.display()), "name another place: TMPDIR=/path")
    })?;
    Ok(path.display().to_string())
}

/// Waits until `ready` says yes.
///
/// # Errors
/// When a member ends, or it takes too long.
pub(super) async fn until_ready(crew: &mut Crew, ready: impl AsyncFn() -> bool) -> Result<(), Error> {
    let until = Instant::now() + READY;
    loop {
        crew.check()?;
        if ready().await {
            return Ok(());
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

/// The cluster as any of its masters sees it now; none when none answers within a second.
pub(super) async fn cluster_now(cx: &Context) -> Option<v1::Cluster> {
    let asked = async {
        let link = cx.client.link().await.ok()?;
        Some(link.cluster().get_cluster(v1::GetClusterRequest {}).await.ok()?.into_inner())
    };
    tokio::time::timeout(Duration::from_secs(1), asked).await.ok().flatten()
}

/// Waits for the run's first instant.
///
/// # Errors
/// When it does not begin.
pub(super) async fn begun(cx: &Context, name: &str) -> Result<Instant, Error> {
    let until = Instant::now() + READY;
    loop {
        let run = fetch(cx, name).await?;
        if let Some(start) = run.start_time {
            let ago = ago_ms(&start);
            let now = Instant::now();
            // A start that lies ahead is waited for, so that "now" is never before it.
            if let Ok(ahead) = u64::try_from(ago.saturating_neg()) {
                sleep(Duration::from_millis(ahead)).await;
                return Ok(now + Duration::from_millis(ahead));
            }
            return Ok(now - Duration::from_millis(u64::try_from(ago).unwrap_or(0)));
        }
        if Instant::now() > until || run.end_time.is_some() {
            return Err(Error::local(
                format!("run {name} did not begin: {} {}", run.state().as_str_name(), run.state_reason),
                "see the nodes with --keep: shanty node list",
            ));
        }
        sleep(LOOK).await;
    }
}

/// Prints the report.
///
/// # Errors
/// When it cannot be written.
pub(super) fn show(cx: &Context, run: &v1::Run, report: Option<&v1::Report>) -> Result<(), Error> {
    let Some(report) = report else { return Ok(()) };
    match cx.screen.output {
        Output::Table => {
            cx.screen.say("");
            cx.screen.data(&report::render(report, Some(run), cx.screen.out))
        }
        Output::Json => cx.print(report, |_| String::new()),
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
