//! The story of a failover: a load test goes on at its rate while the leader is killed and another one takes over.
//!
//! In: a crew. Out: the story on standard error, the report on standard output.
//! Tests: `cli/tests/demo.rs`.

use super::arrivals::{Arrivals, bars, worst};
use super::crew::Crew;
use super::fleet::{self, Fleet};
use super::stage::{self, Ended, LOOK, Next, READY, WORKERS, begun, show};
use super::timeline::moments;
use crate::client::{bare, request_id};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::quantity;
use crate::run::{Followed, View, elapsed, follow, submit};
use shanty_proto::v1;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Arrivals per second, and in a window of 100 ms.
const RATE: f64 = 1000.0;
const WINDOW: u64 = 100;
/// Length of the load.
const LENGTH: Duration = Duration::from_secs(9);
/// When the leader is killed and when another one is asked to hand over, after the load's first instant.
const KILL_AT: Duration = Duration::from_secs(3);
const SWITCH_AT: Duration = Duration::from_millis(6500);
/// Windows shown before the kill and after it.
const SHOWN: (usize, usize) = (20, 40);

/// What was seen of the fault.
struct Fault {
    /// When, microseconds since 1970.
    at_us: i64,
}

/// Tells the story.
///
/// # Errors
/// When something does not start or answer.
pub(super) async fn tell(cx: &Context, crew: &mut Crew, kept: bool) -> Result<Ended, Error> {
    let began = Instant::now();
    cx.screen
        .say(&cx.screen.err.dim(&format!("a cluster of child processes, in {}", crew.folder().display())));
    let fleet = fleet::gather(cx, crew).await?;
    let cx = &fleet.cx;
    cx.screen.say(&format!(
        "{} 3 members of etcd, 3 masters, 3 sentinels, 3 workers and a target, ready after {}\n",
        cx.screen.err.good("✓"),
        quantity::time(began.elapsed()),
    ));
    let run = submit(cx, request(&fleet.target)).await?;
    let name = bare(&run.name).to_owned();
    let mut view = View::new(cx.screen);
    let teller = view.teller();
    let (watched, acted) = {
        let watch = follow(cx, &name, Duration::from_secs(1), 0, &mut view);
        let act = act(&fleet, crew, &name, |line: &str| teller.say(line));
        tokio::join!(watch, act)
    };
    view.close();
    let Followed { run, report } = watched?;
    let (fault, dead) = acted?;
    show(cx, &run, report.as_ref())?;
    let scheduled = match report.as_ref().and_then(|report| report.kind.as_ref()) {
        Some(v1::report::Kind::HttpLoad(load)) => load.scheduled,
        Some(v1::report::Kind::DbSync(_)) | None => 0,
    };
    let arrived = arrived(&fleet.record, scheduled).await;
    cx.screen.say(&counted(cx, &arrived, scheduled, &fault));
    let exit = match Exit::of_run(&run, report.as_ref()) {
        Exit::Done if i64::try_from(arrived.count()) != Ok(scheduled) => Exit::Failed,
        exit => exit,
    };
    let left = fleet.masters.iter().find(|(name, _)| *name != dead);
    let addr = left.map(|(_, address)| address.clone()).unwrap_or_default();
    Ok(Ended { exit, addr, run: name, kept, next: next(&fleet.target, kept) })
}

fn request(target: &str) -> v1::StartRunRequest {
    stage::start_request(v1::job_spec::Kind::HttpLoad(v1::HttpLoadSpec {
        url: target.to_owned(),
        rate: RATE,
        duration: Some(quantity::proto_duration(LENGTH)),
        thresholds: vec!["p99_ms<250".to_owned(), "error_rate<0.01".to_owned()],
        ..v1::HttpLoadSpec::default()
    }))
}

/// Commands to go on with.
fn next(target: &str, kept: bool) -> Next {
    let url = if kept { target } else { "http://127.0.0.1:8080/" };
    let etcd = "--etcd E1:2379,E2:2379,E3:2379";
    Next {
        prepare: vec![
            format!("master --node m1 {etcd} --store 'postgres://USER:${{PASSWORD}}@HOST/shanty'"),
            format!("sentinel --node s1 --members s1,s2,s3 {etcd}"),
            format!("worker --node w1 {etcd}"),
        ],
        request: format!(r#"{{"spec":{{"http_load":{{"url":"{url}","rate":1000,"duration":"9s"}}}}}}"#),
        symbol: "Term",
        start: format!("run start --url {url} --rate 1000 --duration 9s"),
        more: vec!["cluster why".to_owned(), "cluster switchover".to_owned()],
    }
}

/// What is done to the cluster while the run goes on. Answers the fault, and which master it was.
async fn act(
    fleet: &Fleet,
    crew: &mut Crew,
    name: &str,
    tell: impl Fn(&str),
) -> Result<(Fault, String), Error> {
    let cx = &fleet.cx;
    let err = cx.screen.err;
    let step = |at: Duration, text: &str| tell(&format!("{}  {}", elapsed(at), err.strong(text)));
    let start = begun(cx, name).await?;
    let old = cluster(cx).await?;
    let dead = bare(&old.leader).to_owned();
    sleep(KILL_AT.saturating_sub(start.elapsed())).await;

    let pid = crew.pid(&dead).unwrap_or_default();
    let fault = Fault { at_us: shanty_rt::clock::unix_ns() / 1000 };
    crew.kill(&dead).await;
    step(start.elapsed(), &format!("$ kill -9 {pid}   # master {dead}, which leads"));
    let (new, events) = succeeded(cx, &old).await?;
    let terms = terms(cx).await?;
    let term = |epoch: u32| terms.iter().find(|term| term.epoch == epoch).cloned().unwrap_or_default();
    let told = moments(fault.at_us / 1000, &term(old.epoch), &term(new.epoch), &events);
    for (at, text) in &told {
        tell(&format!("{:10}{} {text}", "", err.strong(&format!("{:>8}", format!("+{at} ms")))));
    }

    sleep(SWITCH_AT.saturating_sub(start.elapsed())).await;
    let left = fleet.masters.iter().find(|(name, _)| *name != dead && *name != bare(&new.leader));
    let target = left.map(|(name, _)| (*name).to_owned()).unwrap_or_default();
    step(start.elapsed(), &format!("$ shanty cluster switchover {target}"));
    let asked = Instant::now();
    let request = v1::TransferLeadershipRequest { target, request_id: request_id() };
    let now = cx
        .client
        .ask("hand leadership over", |link| {
            let request = request.clone();
            async move { link.cluster().transfer_leadership(request).await }
        })
        .await?;
    let took = quantity::time(asked.elapsed());
    let (from, to) = (bare(&new.leader), bare(&now.leader));
    step(start.elapsed(), &format!("{from} handed over to {to}, asked and answered in {took}"));
    Ok((fault, dead))
}

async fn cluster(cx: &Context) -> Result<v1::Cluster, Error> {
    let ask =
        |link: crate::client::Link| async move { link.cluster().get_cluster(v1::GetClusterRequest {}).await };
    cx.client.ask("show the cluster", ask).await
}

async fn terms(cx: &Context) -> Result<Vec<v1::Term>, Error> {
    let ask = |link: crate::client::Link| async move {
        link.cluster().list_terms(v1::ListTermsRequest::default()).await
    };
    Ok(cx.client.ask("show the last terms", ask).await?.terms)
}

/// Waits until another master leads and all workers follow it; answers the cluster then, and the new term's events.
async fn succeeded(cx: &Context, old: &v1::Cluster) -> Result<(v1::Cluster, Vec<v1::ClusterEvent>), Error> {
    let until = Instant::now() + READY;
    let late = |what: &str| {
        Error::local(
            format!("{what} after {}", quantity::time(READY)),
            "see why with --keep: shanty cluster why",
        )
    };
    let new = loop {
        let now = stage::cluster_now(cx).await;
        if let Some(now) = now.filter(|now| now.epoch > old.epoch && !now.leader.is_empty()) {
            break now;
        }
        if Instant::now() > until {
            return Err(late("no other master leads"));
        }
        sleep(LOOK / 5).await;
    };
    let mut events = Vec::new();
    let link = cx.client.link().await?;
    // From the second event of this cluster on.
    let request = v1::WatchEventsRequest { after_sequence: 1 };
    let stream = link.cluster().watch_events(request).await;
    let mut stream = stream.map_err(|status| Error::status("watch events", status))?.into_inner();
    let attached = |events: &[v1::ClusterEvent]| {
        events.iter().filter(|event| event.reason == "WORKER_ATTACHED").count() >= WORKERS.len()
    };
    while !attached(&events) {
        match timeout_at(until, stream.message()).await {
            Ok(Ok(Some(event))) if event.epoch == new.epoch => events.push(event),
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) | Err(_) => return Err(late("not all workers follow the new leader")),
            Ok(Err(status)) => return Err(Error::status("watch events", status)),
        }
    }
    Ok((new, events))
}

/// What came to the target, once it has written all of it down, or will not.
async fn arrived(record: &Path, scheduled: i64) -> Arrivals {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let arrivals = Arrivals::read(record);
        if i64::try_from(arrivals.count()).is_ok_and(|count| count >= scheduled) || Instant::now() > until {
            return arrivals;
        }
        sleep(LOOK).await;
    }
}

/// Not the cluster's word, the target's: how many arrived, and how evenly.
fn counted(cx: &Context, arrived: &Arrivals, scheduled: i64, fault: &Fault) -> String {
    let err = cx.screen.err;
    let (before, after) = arrived.around(fault.at_us);
    let count = i64::try_from(arrived.count()).unwrap_or(i64::MAX);
    let mark = if count == scheduled { err.good("✓") } else { err.bad("✗") };
    let head = format!(
        "\n{mark} at the target: {} of {} arrivals; worst 100 ms window {:.0} % off before the kill, {:.0} % after",
        quantity::count(count),
        quantity::count(scheduled),
        worst(&before, WINDOW),
        worst(&after, WINDOW),
    );
    let before = &before[before.len().saturating_sub(SHOWN.0)..];
    let after = &after[..after.len().min(SHOWN.1)];
    let line = format!("{}{}", bars(before, WINDOW), bars(after, WINDOW));
    let under = format!("{:>width$} kill -9; a bar is 100 ms", "^", width = before.len() + 1);
    format!("{head}\n  {}\n  {}", err.good(&line), err.dim(&under))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_to_go_on_with_is_one_that_the_api_takes() {
        for kept in [false, true] {
            let request = next("http://127.0.0.1:1/", kept).request;
            let spec = request.strip_prefix(r#"{"spec":"#).and_then(|rest| rest.strip_suffix('}')).unwrap();
            let spec: v1::JobSpec = crate::json::read(spec, "test").unwrap();
            assert!(matches!(spec.kind, Some(v1::job_spec::Kind::HttpLoad(load)) if load.rate > 999.0));
        }
    }
}
