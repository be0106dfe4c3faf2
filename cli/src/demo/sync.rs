//! The story of a sync: two tables copied by three workers, one of them killed on the way, both ends compared.
//!
//! In: a crew. Out: the story on standard error, the report on standard output.
//! Tests: `cli/tests/demo.rs`.

use super::crew::Crew;
use super::stage::{Ended, LOOK, Next, READY, gather, show, start_request};
use super::{ports, shop};
use crate::client::bare;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::quantity;
use crate::run::{Followed, View, elapsed, fetch, fetch_shards, follow, submit};
use shanty_proto::v1;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Rows per second of all workers together, so that there is something to see.
const RATE: u32 = 60_000;
/// Rows of a page, so that many are committed.
const PAGE: u32 = 4_000;
/// After this many rows a worker is killed.
const KILL_AT: i64 = 100_000;
/// Longest time that the run may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Tells the story.
///
/// # Errors
/// When something does not start or answer.
pub(super) async fn tell(cx: &Context, crew: &mut Crew, kept: bool) -> Result<Ended, Error> {
    let began = Instant::now();
    cx.screen
        .say(&cx.screen.err.dim(&format!("a cluster of child processes, in {}", crew.folder().display())));
    let (source, target) = (crew.folder().join("shop.db"), crew.folder().join("warehouse.db"));
    let addresses = ports::free(1)?;
    let master = addresses.first().map(String::as_str).unwrap_or_default();
    let flags: Vec<String> = [("shop", &source), ("warehouse", &target)]
        .into_iter()
        .flat_map(|(name, file)| ["--set".to_owned(), format!("connections.{name}.url={}", shop::url(file))])
        .collect();
    let (there, made) = tokio::join!(gather(cx, crew, master, &flags), shop::open(&source));
    let cx = there?;
    made?;
    cx.screen.say(&format!(
        "{} 1 master, 3 workers and a shop of {} orders and {} visits, ready after {} on {}\n",
        cx.screen.err.good("✓"),
        quantity::count(i64::from(shop::ROWS.0)),
        quantity::count(i64::from(shop::ROWS.1)),
        quantity::time(began.elapsed()),
        cx.client.shown()
    ));
    let run = submit(&cx, start_request(v1::job_spec::Kind::DbSync(spec()))).await?;
    let name = bare(&run.name).to_owned();
    let mut view = View::new(cx.screen);
    let teller = view.teller();
    let both = async {
        let watch = follow(&cx, &name, Duration::from_millis(500), 0, &mut view);
        let act = act(&cx, crew, &name, |line: &str| teller.say(line));
        tokio::join!(watch, act)
    };
    let ended = tokio::time::timeout(LONGEST, both).await;
    view.close();
    let Ok((watched, acted)) = ended else {
        return Err(Error::local(
            format!("run {name} has not ended after {}", quantity::time(LONGEST)),
            "see why with --keep: shanty run get, shanty run shards",
        ));
    };
    let Followed { run, report } = watched?;
    acted?;
    show(&cx, &run, report.as_ref())?;
    let exit = Exit::of_run(&run, report.as_ref());
    if exit == Exit::Done {
        counted(&cx, &source, &target).await?;
    }
    Ok(Ended { exit, addr: cx.client.shown(), run: name, kept, next: next(kept) })
}

fn spec() -> v1::DbSyncSpec {
    v1::DbSyncSpec {
        source: Some(v1::SyncSource {
            connection: "shop".to_owned(),
            tables: vec!["orders".to_owned(), "visits".to_owned()],
            ..v1::SyncSource::default()
        }),
        target: Some(v1::SyncTarget { connection: "warehouse".to_owned(), ..v1::SyncTarget::default() }),
        verify: v1::db_sync_spec::Verify::Checksum.into(),
        page_rows: PAGE,
        throttle: Some(v1::SyncThrottle { rows_per_second: RATE, ..v1::SyncThrottle::default() }),
        ..v1::DbSyncSpec::default()
    }
}

/// Commands to go on with.
fn next(kept: bool) -> Next {
    let (source, target) = if kept { ("shop", "warehouse") } else { ("shop_mysql", "dw_pg") };
    let existing = if kept { r#","on_existing":"TRUNCATE""# } else { "" };
    let request = format!(
        r#"{{"spec":{{"db_sync":{{"source":{{"connection":"{source}","table":"orders"}},"target":{{"connection":"{target}","table":"orders"}},"verify":"CHECKSUM"{existing}}}}}}}"#
    );
    let dev = "dev --workers 3 --connection 'shop_mysql=mysql://USER:${PASSWORD}@HOST/shop' \
               --connection 'dw_pg=postgres://USER:${PASSWORD}@HOST/dw'";
    let more = if kept { " --on-existing truncate" } else { "" };
    Next {
        prepare: vec![dev.to_owned(), format!("connection check {source}")],
        request,
        symbol: "DbSyncSpec",
        more: Vec::new(),
        start: format!("run start sync --source {source}:orders --target {target} --verify checksum{more}"),
    }
}

/// What is done to the run on its way: a worker that copies is killed, and who goes on with its shard is told.
async fn act(cx: &Context, crew: &mut Crew, name: &str, tell: impl Fn(&str)) -> Result<(), Error> {
    let err = cx.screen.err;
    let begun = Instant::now();
    let step = |at: Duration, text: &str| tell(&format!("{}  {}", elapsed(at), err.strong(text)));
    let (start, victim) = loop {
        let run = fetch(cx, name).await?;
        if run.end_time.is_some() {
            return Ok(());
        }
        if begun.elapsed() > READY + READY {
            return Err(Error::local(
                format!("run {name} does not copy: {} {}", run.state().as_str_name(), run.state_reason),
                "see the nodes with --keep: shanty node list",
            ));
        }
        if let (Some(start), Some(progress)) = (&run.start_time, &run.progress)
            && copied(progress) >= KILL_AT
            && let Some(shard) = copying(&fetch_shards(cx, name).await?.shards)
        {
            let ago = Duration::from_millis(u64::try_from(super::stage::ago_ms(start)).unwrap_or(0));
            let now = Instant::now();
            break (now.checked_sub(ago).unwrap_or(now), shard);
        }
        sleep(LOOK).await;
    };
    let worker = bare(&victim.node).to_owned();
    let pid = crew.pid(&worker).unwrap_or_default();
    crew.kill(&worker).await;
    let killed = Instant::now();
    step(
        start.elapsed(),
        &format!("$ kill -9 {pid}   # worker {worker}, in the middle of {}", title(&victim)),
    );
    loop {
        let shards = fetch_shards(cx, name).await?.shards;
        let taken = shards.iter().find(|shard| shard.index == victim.index && shard.node != victim.node);
        if let Some(shard) = taken.filter(|shard| !shard.node.is_empty()) {
            let took = quantity::time(killed.elapsed());
            let by = bare(&shard.node);
            step(
                start.elapsed(),
                &format!("{by} goes on with {} where {worker} was, {took} after the kill", title(shard)),
            );
            return Ok(());
        }
        if fetch(cx, name).await?.end_time.is_some() || killed.elapsed() > READY {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// Rows copied so far.
fn copied(progress: &v1::Progress) -> i64 {
    match &progress.kind {
        Some(v1::progress::Kind::DbSync(sync)) => sync.rows(),
        Some(v1::progress::Kind::HttpLoad(_)) | None => 0,
    }
}

/// A shard that is being copied.
fn copying(shards: &[v1::Shard]) -> Option<v1::Shard> {
    let running =
        |shard: &&v1::Shard| shard.state() == v1::shard::State::Running && shard.title.starts_with("copy");
    shards.iter().find(running).cloned()
}

fn title(shard: &v1::Shard) -> String {
    if shard.title.is_empty() { format!("shard {}", shard.index) } else { format!("\"{}\"", shard.title) }
}

/// Counts both ends itself: not the cluster's word, the files'.
async fn counted(cx: &Context, source: &Path, target: &Path) -> Result<(), Error> {
    let mut parts = Vec::new();
    for table in ["orders", "visits"] {
        let (here, there) = (shop::count(source, table).await?, shop::count(target, table).await?);
        if here != there {
            return Err(Error::local(
                format!("{table}: {here} rows in the source, {there} in the target"),
                "look at both files with --keep",
            ));
        }
        parts.push(format!("{} {table}", quantity::count(there)));
    }
    cx.screen.say(&format!(
        "\n{} counted in both files: {}; none missing, none twice",
        cx.screen.err.good("✓"),
        parts.join(", ")
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_to_go_on_with_is_one_that_the_api_takes() {
        for kept in [false, true] {
            let request = next(kept).request;
            let spec = request.strip_prefix(r#"{"spec":"#).and_then(|rest| rest.strip_suffix('}')).unwrap();
            let spec: v1::JobSpec = crate::json::read(spec, "test").unwrap();
            assert!(matches!(spec.kind, Some(v1::job_spec::Kind::DbSync(sync)) if sync.verify == 3));
        }
    }

    #[test]
    fn only_a_worker_that_copies_is_worth_killing() {
        let shard = |index, title: &str, state: v1::shard::State| v1::Shard {
            index,
            title: title.into(),
            state: state.into(),
            ..v1::Shard::default()
        };
        let shards = [
            shard(0, "plan", v1::shard::State::Running),
            shard(1, "copy orders 0", v1::shard::State::Done),
            shard(2, "copy orders 1", v1::shard::State::Running),
        ];
        assert_eq!(copying(&shards).map(|shard| shard.index), Some(2));
        assert_eq!(copying(&shards[..2]), None);
    }
}
