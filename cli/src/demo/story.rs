//! What the demo shows, step by step: start, load, faster, a worker killed, its share moved, the report.
//!
//! In: a crew. Out: the story on standard error, the report on standard output.
//! Tests: `cli/tests/demo.rs`.

use super::crew::Crew;
use super::ports;
use super::stage::{self, Ended, LOOK, Next, begun, show};
use crate::client::bare;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::quantity;
use crate::run::{Followed, View, change_rate, fetch, follow, share, submit};
use shanty_proto::v1;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first rate and the one after the change, arrivals per second.
const RATES: (f64, f64) = (1000.0, 2000.0);
/// Length of the load.
const LENGTH: Duration = Duration::from_secs(10);
/// When the rate is changed and when a worker is killed, after the load's first instant.
const CHANGE_AT: Duration = Duration::from_secs(3);
const KILL_AT: Duration = Duration::from_secs(6);
/// Who is killed.
const VICTIM: &str = "w2";

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
    show(&cx, &run, report.as_ref())?;
    let exit = Exit::of_run(&run, report.as_ref());
    Ok(Ended { exit, addr: cx.client.shown(), run: name, kept, next: next(&target, kept) })
}

/// Starts everything and waits until it is ready.
async fn gather(cx: &Context, crew: &mut Crew) -> Result<(Context, String), Error> {
    let addresses = ports::free(2)?;
    let [master, target] = addresses.as_slice() else {
        return Err(Error::local("no free ports", "see who holds them: ss -ltnp"));
    };
    cx.screen
        .say(&cx.screen.err.dim(&format!("a cluster of child processes, in {}", crew.folder().display())));
    crew.start("target", &["target", "--listen", target])?;
    Ok((stage::gather(cx, crew, master, &[]).await?, format!("http://{target}/")))
}

/// Commands to go on with.
fn next(target: &str, kept: bool) -> Next {
    let url = if kept { target } else { "http://127.0.0.1:8080/" };
    Next {
        prepare: vec!["dev --workers 3".to_owned(), "target --listen 127.0.0.1:8080".to_owned()],
        request: format!(
            r#"{{"spec":{{"http_load":{{"url":"{url}","rate":2000,"duration":"10s","thresholds":["p99_ms<50"]}}}}}}"#
        ),
        symbol: "HttpLoadSpec",
        more: Vec::new(),
        start: format!("run start --url {url} --rate 2000 --duration 10s --threshold 'p99_ms<50'"),
    }
}

fn request(target: &str) -> v1::StartRunRequest {
    stage::start_request(v1::job_spec::Kind::HttpLoad(v1::HttpLoadSpec {
        url: target.to_owned(),
        rate: RATES.0,
        duration: Some(quantity::proto_duration(LENGTH)),
        thresholds: vec!["p99_ms<250".to_owned(), "error_rate<0.01".to_owned()],
        ..v1::HttpLoadSpec::default()
    }))
}

/// What is done to the run on its way.
async fn act(cx: &Context, crew: &mut Crew, name: &str, tell: impl Fn(&str)) -> Result<(), Error> {
    let err = cx.screen.err;
    let step = |at: Duration, text: &str| tell(&format!("{}  {}", crate::run::elapsed(at), err.strong(text)));
    let start = begun(cx, name).await?;
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
