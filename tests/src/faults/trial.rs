//! One fault, from a whole cluster to a whole cluster, with a load run and a sync going on.
//!
//! In: a stage, a fault. Out: an [`Outcome`]: how long until a run was dispatched, what the load's target saw, breaches of
//! invariants and of what a failover is for, and what fell short of a figure. Never: takes a shortfall for a breach, or the
//! other way round.
//! Tests: `tests/tests/t70_faults.rs`.

use super::fault::{Fault, Leads};
use super::history::{Copied, History, Load, Term};
use super::invariants::breaches;
use super::observer::Observer;
use super::pace::{Pace, judge};
use super::stage::Stage;
use super::witness::Witness;
use crate::cluster::Client;
use crate::dataset::{Fingerprint, Orders};
use crate::patience::asked;
use crate::sync::{rows, table, unlimited, with};
use crate::target::{Options, Target};
use serde_json::json;
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_rt::clock::monotonic_ns;
use std::net::SocketAddr;
use std::time::Duration;

const RATE: u32 = 2_000;
/// Arrivals before the fault.
const CALM: u64 = 3_000;
/// Whatever the fault: somebody leads within this time after it, or after it was taken back.
const ALIVE: Duration = Duration::from_secs(10);
/// Two faults or a hundred: a run goes on this long at most.
const ENDS: Duration = Duration::from_secs(120);
/// A little longer than sentinels leave a new leader in peace on half a reason.
const SETTLED: Duration = Duration::from_secs(32);
/// Windows of 100 ms hold the rate within this; 2 of 200 arrivals are not more than it.
const OFF: f64 = 0.01 + 1e-9;

/// What came of a fault.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The fault.
    pub fault: Fault,
    /// From the fault (or its end) to the next run that ran, each time.
    pub took: Vec<Duration>,
    /// Arrivals beside their schedule.
    pub pace: Option<Pace>,
    /// Rows in the sync's target minus those of its source.
    pub rows_off: i64,
    /// Invariants that do not hold.
    pub breaches: Vec<String>,
    /// What was slower or other than expected.
    pub shortfalls: Vec<String>,
}

/// Does a fault and judges it.
///
/// # Errors
/// When it could not be done, or the cluster did not come back: the stage is of no use any more.
pub async fn trial(stage: &mut Stage, fault: &Fault) -> Result<Outcome, String> {
    if fault.settled {
        stage.whole().await?;
        tokio::time::sleep(SETTLED).await;
    }
    let (leader, first_epoch) = stage.whole().await?;
    stage.empty_target().await?;
    let listen = |last| SocketAddr::from((stage.host(last), 0));
    let target = |kernel_stamps| {
        let options = Options { kernel_stamps, listen: listen(1), capacity: 1 << 19, ..Options::default() };
        Target::start(options).map_err(|error| error.to_string())
    };
    let (hit, aside) = (target(true)?, target(false)?);
    let observer = Observer::start(stage, aside.url());
    let witness = Witness::start();
    let client = stage.cluster.client_of(leader);
    let load = start_load(&client, &hit.url(), fault).await?;
    let sync = start_sync(&client).await?;
    asked("load and sync go on", Duration::from_secs(30), async || {
        let copied = client.run(&sync).await.map(|run| rows(&run)).map_err(|status| status.to_string())?;
        if hit.count() > CALM && copied > 0 { Ok(()) } else { Err(format!("{copied} rows")) }
    })
    .await?;

    let mut seen = Done::default();
    for _ in 0..fault.times {
        done_once(stage, fault, &observer, &mut seen).await?;
    }
    let leader = stage.whole().await?.0;
    let client = stage.cluster.client_of(leader);
    let _it_may_have_ended_already = client.change_sync(&sync, unlimited()).await;
    let (load, sync) = (ended(&client, &load).await?, ended(&client, &sync).await?);
    let stalls = witness.finish();
    let stamps = hit.finish();
    let has_wire = stamps.wire.len() == stamps.read.len() && !stamps.clock_was_set;
    let arrivals = if has_wire { &stamps.wire } else { &stamps.read };
    let calm = usize::try_from(CALM).unwrap_or(0);
    let whole = fault.spares_workers() && arrivals.len() >= calm;
    let pace = whole.then(|| judge(arrivals, f64::from(RATE), calm, &stalls));

    let arrived = u64::try_from(stamps.read.len()).unwrap_or(0);
    let mut history = History { voters: 3, frozen_ns: seen.frozen_ns, ..History::default() };
    history.forgotten_ns = stage.forgotten_ns.take().filter(|_| fault.forgets);
    history.set_back_ns = stage.set_back_ns.take();
    history.terms = terms(&client, first_epoch).await?;
    (history.sightings, history.fences, history.submits) = observer.seen();
    let mut load = load_of(&client, &load, arrived, fault.spares_workers()).await?;
    // Reports come each second: one may have been on its way at either end.
    load.forgotten = history
        .forgotten_ns
        .map_or(0, |(from, to)| u64::from(RATE) * (to.saturating_sub(from) / 1_000_000_000 + 3));
    let moved = [(load.dropped, "dropped"), (load.astray, "astray"), (load.lost, "lost")];
    history.load = Some(load);
    let copied = copied(stage, &client, &sync).await?;
    let rows_off = copied.target.1.cast_signed() - copied.source.1.cast_signed();
    history.copied = Some(copied);
    for submit in &mut history.submits {
        submit.found = is_kept(&client, &submit.run).await?;
    }
    let mut found = breaches(&history);
    found.extend(fault.evidence.and_then(|kind| history.unfounded(kind)));
    found.append(&mut seen.breaches);
    let fell = std::mem::take(&mut stage.fell);
    if fault.spares_store() {
        found.extend(fell);
    }
    let mut shortfalls = seen.shortfalls;
    if fault.leads == Leads::Same {
        let over = history.terms.iter().filter(|term| !term.end_reason.is_empty());
        shortfalls.extend(over.map(|term| format!("term {} ended: {}", term.epoch, term.end_reason)));
    }
    if let Some(pace) = pace.filter(|pace| fault.undisturbed && pace.worst_unexplained > OFF) {
        shortfalls.push(format!("a window is off by {:.1} %", 100.0 * pace.worst_unexplained));
    }
    // What shares that moved have cost, where none should have.
    let moved: Vec<String> = moved
        .iter()
        .filter(|(count, _)| fault.undisturbed && *count > 0)
        .map(|(count, what)| format!("{count} arrivals {what}"))
        .collect();
    shortfalls.extend(moved);
    Ok(Outcome { fault: *fault, took: seen.took, pace, rows_off, breaches: found, shortfalls })
}

/// What is known of a fault that was done several times.
#[derive(Debug, Default)]
struct Done {
    took: Vec<Duration>,
    frozen_ns: Option<(u64, u64)>,
    breaches: Vec<String>,
    shortfalls: Vec<String>,
}

/// Does it, holds it, takes it back, and waits until a run was dispatched and the cluster is whole.
async fn done_once(
    stage: &mut Stage,
    fault: &Fault,
    observer: &Observer,
    seen: &mut Done,
) -> Result<(), String> {
    let (leader, epoch) = stage.whole().await?;
    observer.ask(stage.others(Some(leader)), true);
    let (at_ns, undo) = stage.begin(fault.act, leader).await?;
    let later_than = if fault.leads == Leads::Next { epoch } else { 0 };
    let next_dispatch = async |since_ns| {
        let find = || {
            let (_, _, submits) = observer.seen();
            History { submits, ..History::default() }.next_dispatch(since_ns, later_than)
        };
        asked("the next dispatch", Duration::from_secs(30), async || find().ok_or("none")).await
    };
    let early = if fault.until_dispatched { Some(next_dispatch(at_ns).await) } else { None };
    if early.is_none() {
        tokio::time::sleep(fault.hold).await;
    }
    let healing_ns = monotonic_ns();
    stage.heal(undo);
    let healed_ns = monotonic_ns();
    if let Some(after) = fault.frozen_after {
        seen.frozen_ns = Some((at_ns + ns(after), healing_ns));
    }
    let since_ns = if fault.after_healing { healed_ns } else { at_ns };
    let took = match early {
        Some(took) => took,
        None => next_dispatch(since_ns).await,
    };
    observer.ask(stage.others(None), false);
    let now = stage.whole().await?.1;
    let took = match took {
        Ok(took) => took,
        // That nobody took over is one thing, that nobody leads another.
        Err(_) if now == epoch && fault.leads == Leads::Next => {
            seen.breaches.push("nobody took over".to_owned());
            return Ok(());
        }
        Err(why) => return Err(why),
    };
    if took > ALIVE {
        seen.breaches.push(format!("the next dispatch took {took:.1?}, over {ALIVE:?}"));
    } else if took > fault.within {
        seen.shortfalls.push(format!("the next dispatch took {took:.2?}, over {:?}", fault.within));
    }
    match fault.leads {
        Leads::Same if now != epoch => {
            seen.breaches.push(format!("{} new terms, and there was no reason for any", now - epoch));
        }
        Leads::Next if now > epoch + 1 => {
            seen.shortfalls.push(format!("{} terms instead of one", now - epoch))
        }
        Leads::Same | Leads::Next | Leads::Any => {}
    }
    seen.took.push(took);
    Ok(())
}

async fn start_load(client: &Client, url: &str, fault: &Fault) -> Result<String, String> {
    let all = fault.takes() * u32::try_from(fault.times).unwrap_or(1);
    let seconds = (6 + all.as_secs()).min(80);
    let load = json!({ "url": url, "rate": RATE, "duration": format!("{seconds}s") });
    let run = client.start(&json!({ "spec": { "http_load": load } })).await;
    run.map(|run| run.name).map_err(|status| format!("no load: {status}"))
}

async fn start_sync(client: &Client) -> Result<String, String> {
    let more = json!({ "workers": 2, "page_rows": 500, "throttle": { "rows_per_second": 1500 } });
    let spec = with(table("source", "target", "orders"), more);
    let run = client.start(&json!({ "spec": { "db_sync": spec } })).await;
    run.map(|run| run.name).map_err(|status| format!("no sync: {status}"))
}

async fn ended(client: &Client, name: &str) -> Result<v1::Run, String> {
    let over = [State::Succeeded, State::Failed, State::Cancelled, State::TimedOut, State::Lost];
    asked(&format!("{name} ends"), ENDS, async || match client.run(name).await {
        Ok(run) if over.contains(&run.state()) => Ok(run),
        Ok(run) => Err(format!("{:?} {}", run.state(), run.state_reason)),
        Err(status) => Err(status.to_string()),
    })
    .await
}

async fn terms(client: &Client, from: u32) -> Result<Vec<Term>, String> {
    let mut all: Vec<Term> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListTermsRequest { page_size: 100, page_token };
        let page = client.cluster.clone().list_terms(request).await.map_err(|status| status.to_string())?;
        let page = page.into_inner();
        all.extend(page.terms.into_iter().map(|term| Term {
            epoch: term.epoch,
            leader: term.leader,
            start_reason: term.start_reason,
            ended_by: term.ended_by,
            end_reason: term.end_reason,
            evidence: term.votes.iter().map(|vote| vote.evidence.clone()).collect(),
            votes: term.votes.into_iter().map(|vote| vote.sentinel).collect(),
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() || all.last().is_some_and(|last| last.epoch <= from) {
            break;
        }
    }
    all.retain(|term| term.epoch >= from);
    all.reverse();
    Ok(all)
}

async fn load_of(client: &Client, run: &v1::Run, arrived: u64, workers_intact: bool) -> Result<Load, String> {
    let report = client.load_report(&run.name).await.map_err(|status| format!("no report: {status}"))?;
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(Load {
        state: run.state().as_str_name().to_owned(),
        scheduled: count(report.scheduled),
        sent: count(report.sent),
        dropped: count(report.dropped),
        astray: count(report.astray),
        lost: count(report.lost),
        errors: count(report.errors),
        arrived,
        workers_intact,
        forgotten: 0,
    })
}

async fn copied(stage: &Stage, client: &Client, run: &v1::Run) -> Result<Copied, String> {
    let orders = Orders::keyed("orders");
    let print = |print: Fingerprint| (print.sum, print.rows);
    let report = client.sync_report(&run.name).await.map_err(|status| format!("no report: {status}"))?;
    let state = if run.state() == State::Succeeded {
        run.state().as_str_name().to_owned()
    } else {
        format!("{}: {}", run.state().as_str_name(), run.state_reason)
    };
    Ok(Copied {
        state,
        source: print(orders.print(&stage.source).await),
        target: print(orders.print(&stage.target).await),
        reported: u64::try_from(report.rows).unwrap_or(0),
    })
}

/// Whether the leader knows a run.
async fn is_kept(client: &Client, name: &str) -> Result<bool, String> {
    asked("an answer about a run", ALIVE, async || match client.run(name).await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(false),
        Err(status) => Err(status.to_string()),
    })
    .await
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
