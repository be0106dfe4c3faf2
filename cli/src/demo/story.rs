//! What the demo shows, step by step: start, load, faster, a worker killed, its share moved, the report.
//!
//! In: a crew. Out: the story on standard error, the report on standard output.
//! Tests: `cli/tests/demo.rs`.

use super::crew::Crew;
use super::ports;
use crate::client::bare;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::run::{Followed, View, change_rate, fetch, follow, share, submit};
use crate::screen::Output;
use crate::{node, quantity, report};
use shanty_proto::v1;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long processes may take until the cluster is ready.
const READY: Duration = Duration::from_secs(20);
/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// The first rate and the one after the change, arrivals per second.
const RATES: (f64, f64) = (1000.0, 2000.0);
/// Length of the load.
const LENGTH: Duration = Duration::from_secs(10);
/// When the rate is changed and when a worker is killed, after the load's first instant.
const CHANGE_AT: Duration = Duration::from_secs(3);
const KILL_AT: Duration = Duration::from_secs(6);
/// Who is killed.
const VICTIM: &str = "w2";
const WORKERS: [&str; 3] = ["w1", VICTIM, "w3"];

/// How the story ended.
pub(super) struct Ended {
    /// What the run's end means.
    pub(super) exit: Exit,
    addr: String,
    target: String,
    run: String,
    kept: bool,
}

impl Ended {
    /// Commands to go on with.
    pub(super) fn go_on(&self, cx: &Context) -> String {
        let err = cx.screen.err;
        let program = crate::context::program();
        let mut lines = Vec::new();
        let (addr, target) = match self.kept {
            true => (self.addr.as_str(), self.target.as_str()),
            false => (crate::context::DEFAULT_ADDR, "http://127.0.0.1:8080/"),
        };
        if !self.kept {
            lines.push(err.strong(
                "\nEverything is stopped and removed. To go on, a cluster and a target of your own:",
            ));
            lines.push(format!("  {}", err.code(&format!("{program} dev --workers 3"))));
            lines.push(format!("  {}", err.code(&format!("{program} target --listen 127.0.0.1:8080"))));
            lines.push(err.strong("then, from another terminal, with grpcurl or without:"));
        } else {
            lines.push(err.strong("\nGo on, with grpcurl or without:"));
        }
        let spec = format!(
            r#"{{"spec":{{"http_load":{{"url":"{target}","rate":2000,"duration":"10s","thresholds":["p99_ms<50"]}}}}}}"#
        );
        let at = |words: &str| format!("  {}", err.code(words));
        lines.push(at(&format!("grpcurl -plaintext -d '{spec}' {addr} shanty.v1.RunService/RunAndWatch")));
        if self.kept {
            let get = format!(r#"{{"name":"{}"}}"#, self.run);
            lines.push(at(&format!("grpcurl -plaintext -d '{get}' {addr} shanty.v1.RunService/GetReport")));
        }
        lines.push(at(&format!("grpcurl -plaintext {addr} describe shanty.v1.HttpLoadSpec")));
        let there = cx.at(addr);
        let start = format!("run start --url {target} --rate 2000 --duration 10s --threshold 'p99_ms<50'");
        lines.push(at(&there.command(&start)));
        lines.join("\n")
    }
}

/// Tells the story of a load test.
///
/// # Errors
/// When something does not start or answer.
pub(super) async fn load(cx: &Context, crew: &mut Crew, kept: bool) -> Result<Ended, Error> {
    let began = Instant::now();
    let (cx, target) = gather(cx, crew).await?;
    let err = cx.screen.err;
    cx.screen.say(&format!(
        "{} 1 master, 3 workers and a target, ready after {} on {}\n",
        err.good("✓"),
        quantity::time(began.elapsed()),
        cx.client.shown()
    ));
    let run = submit(&cx, request(&target)).await?;
    let name = bare(&run.name).to_owned();
    let mut view = View::new(cx.screen);
    let teller = view.teller();
    let (watched, acted) = {
        let watch = follow(&cx, &name, Duration::from_secs(1), 0, &mut view);
        let act = act(&cx, crew, &name, |line: &str| teller.say(line));
        tokio::join!(watch, act)
    };
    view.close();
    let Followed { run, report } = watched?;
    acted?;
    if let Some(report) = &report {
        match cx.screen.output {
            Output::Table => {
                cx.screen.say("");
                cx.screen.data(&report::render(report, Some(&run), cx.screen.out))?;
            }
            Output::Json => cx.print(report, |_| String::new())?,
        }
    }
    let exit = Exit::of_run(&run, report.as_ref());
    Ok(Ended { exit, addr: cx.client.shown(), target, run: name, kept })
}

/// Starts everything and waits until it is ready.
async fn gather(cx: &Context, crew: &mut Crew) -> Result<(Context, String), Error> {
    let addresses = ports::free(2)?;
    let [master, target] = addresses.as_slice() else {
        return Err(Error::local("no free ports", "see who holds them: ss -ltnp"));
    };
    cx.screen
        .say(&cx.screen.err.dim(&format!("a cluster of child processes, in {}", crew.folder().display())));
    let data = |name: &str| crew.folder().join(name).display().to_string();
    let store = format!("sqlite://{}", crew.folder().join("m1").join("shanty.db").display());
    let (m1, folders) = (data("m1"), WORKERS.map(data));
    for folder in folders.iter().chain([&m1]) {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::local(format!("cannot make {folder}: {error}"), "name another place: TMPDIR=/path")
        })?;
    }
    crew.start("target", &["target", "--listen", target])?;
    crew.start("m1", &["master", "--node", "m1", "--listen", master, "--store", &store, "--data", &m1])?;
    for (worker, folder) in WORKERS.iter().zip(&folders) {
        crew.start(worker, &["worker", "--node", worker, "--masters", master, "--data", folder])?;
    }
    let cx = cx.at(master);
    let until = Instant::now() + READY;
    loop {
        crew.check()?;
        if node::workers_ready(&cx).await >= WORKERS.len() {
            return Ok((cx, format!("http://{target}/")));
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

fn request(target: &str) -> v1::StartRunRequest {
    let load = v1::HttpLoadSpec {
        url: target.to_owned(),
        rate: RATES.0,
        duration: Some(quantity::proto_duration(LENGTH)),
        thresholds: vec!["p99_ms<250".to_owned(), "error_rate<0.01".to_owned()],
        ..v1::HttpLoadSpec::default()
    };
    v1::StartRunRequest {
        spec: Some(v1::JobSpec { kind: Some(v1::job_spec::Kind::HttpLoad(load)) }),
        request_id: crate::client::request_id(),
        validate_only: false,
    }
}

/// What is done to the run on its way.
async fn act(cx: &Context, crew: &mut Crew, name: &str, tell: impl Fn(&str)) -> Result<(), Error> {
    let err = cx.screen.err;
    let step = |at: Duration, text: &str| tell(&format!("{}  {}", crate::run::elapsed(at), err.strong(text)));
    let start = started(cx, name).await?;
    let first = fetch(cx, name).await?;
    if let Some(decision) = first.placements.first() {
        step(start.elapsed(), &format!("shares: {}", shares(decision)));
    }
    sleep(CHANGE_AT.saturating_sub(start.elapsed())).await;
    step(start.elapsed(), &format!("$ shanty run change {name} --rate {}", RATES.1));
    change_rate(cx, name, RATES.1).await?;

    sleep(KILL_AT.saturating_sub(start.elapsed())).await;
    let before = fetch(cx, name).await?.placements.first().cloned().unwrap_or_default();
    let pid = crew.pid(VICTIM).unwrap_or_default();
    crew.kill(VICTIM).await;
    let killed = Instant::now();
    step(start.elapsed(), &format!("$ kill -9 {pid}   # worker {VICTIM}"));
    while killed.elapsed() < LENGTH {
        let now = fetch(cx, name).await?;
        if let Some(after) = now.placements.first()
            && after.revision != before.revision
            && !has_share(after, VICTIM)
        {
            let took = quantity::time(killed.elapsed());
            // What the watch has to say about it comes first.
            sleep(6 * LOOK).await;
            step(start.elapsed(), &format!("shares {took} after the kill: {}", moved(&before, after)));
            return Ok(());
        }
        if now.end_time.is_some() {
            break;
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Waits for the run's first instant.
async fn started(cx: &Context, name: &str) -> Result<Instant, Error> {
    let until = Instant::now() + READY;
    loop {
        let run = fetch(cx, name).await?;
        if let Some(start) = run.start_time {
            let start_ms =
                start.seconds.saturating_mul(1000).saturating_add(i64::from(start.nanos) / 1_000_000);
            let ago = shanty_rt::clock::unix_ms().saturating_sub(start_ms);
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

fn has_share(decision: &v1::PlacementDecision, node: &str) -> bool {
    decision.candidates.iter().any(|c| bare(&c.node) == node && c.weight > 0)
}

fn shares(decision: &v1::PlacementDecision) -> String {
    let parts = decision.candidates.iter().map(|c| format!("{} {}", bare(&c.node), share(c)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Shares before and after, by worker.
fn moved(before: &v1::PlacementDecision, after: &v1::PlacementDecision) -> String {
    let parts = before.candidates.iter().map(|old| {
        let new = after.candidates.iter().find(|c| c.node == old.node).cloned().unwrap_or_default();
        format!("{} {} → {}", bare(&old.node), share(old), share(&new))
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(weights: &[(&str, u32)]) -> v1::PlacementDecision {
        let weight_total = weights.iter().map(|(_, w)| w).sum();
        let candidates = weights.iter().map(|(node, weight)| v1::PlacementCandidate {
            node: format!("nodes/{node}"),
            weight: *weight,
            weight_total,
            ..v1::PlacementCandidate::default()
        });
        v1::PlacementDecision { candidates: candidates.collect(), ..v1::PlacementDecision::default() }
    }

    #[test]
    fn a_worker_that_is_gone_has_no_share_afterwards() {
        let text = moved(&decision(&[("w1", 1), ("w2", 1)]), &decision(&[("w1", 1)]));
        assert_eq!(text, "w1 50.0 % → 100.0 %, w2 50.0 % → 0 %");
        assert!(!has_share(&decision(&[("w1", 1), ("w2", 0)]), "w2"));
        assert!(has_share(&decision(&[("w1", 1), ("w2", 0)]), "w1"));
    }
}
