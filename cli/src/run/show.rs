//! Runs and shards as tables.
//!
//! In: messages. Out: text.
//! Tests: below.

use crate::client::bare;
use crate::context::Context;
use crate::grid::{Grid, Tone};
use crate::screen::Paint;
use crate::{quantity, report};
use shanty_proto::v1;
use v1::run::State;

/// How a state looks.
pub(crate) fn state_tone(state: State) -> Tone {
    match state {
        State::Succeeded => Tone::Good,
        State::Failed | State::TimedOut | State::Lost => Tone::Bad,
        State::Cancelling | State::Cancelled => Tone::Warn,
        State::Unspecified | State::Pending | State::Running => Tone::Plain,
    }
}

fn now_ms() -> i64 {
    shanty_rt::clock::unix_ms()
}

/// A list of runs.
pub(super) fn runs(runs: &[v1::Run], cx: &Context) -> String {
    if runs.is_empty() {
        return format!(
            "no runs; start one: {}",
            cx.command("run start --url URL --rate 100 --duration 10s")
        );
    }
    let mut grid = Grid::new(&["RUN", "STATE", "STARTED", ">TOOK", "WHAT", "REASON"], cx.screen.out);
    for run in runs {
        grid.toned([
            (bare(&run.name).to_owned(), Tone::Plain),
            (run.state().as_str_name().to_owned(), state_tone(run.state())),
            (quantity::ago(run.create_time.as_ref(), now_ms()), Tone::Dim),
            (took(run), Tone::Plain),
            (report::cut(&what(run.spec.as_ref()), 44), Tone::Plain),
            (report::cut(&run.state_reason, 40), Tone::Dim),
        ]);
    }
    grid.render(0)
}

fn took(run: &v1::Run) -> String {
    let (Some(start), Some(end)) = (&run.start_time, &run.end_time) else { return String::new() };
    let ms = |t: &prost_types::Timestamp| t.seconds * 1000 + i64::from(t.nanos) / 1_000_000;
    let past = u64::try_from(ms(end).saturating_sub(ms(start))).unwrap_or(0);
    quantity::time(std::time::Duration::from_millis(past))
}

/// What a spec does, in a few words.
pub(crate) fn what(spec: Option<&v1::JobSpec>) -> String {
    match spec.and_then(|spec| spec.kind.as_ref()) {
        Some(v1::job_spec::Kind::HttpLoad(load)) => what_load(load),
        Some(v1::job_spec::Kind::DbSync(sync)) => what_sync(sync),
        None => String::new(),
    }
}

/// `sync shop_mysql.orders → dw_pg.orders`, with a schema between when one is given.
fn what_sync(sync: &v1::DbSyncSpec) -> String {
    let (source, target) = (sync.source.clone().unwrap_or_default(), sync.target.clone().unwrap_or_default());
    let tables = if source.table.is_empty() { source.tables.join(",") } else { source.table.clone() };
    let renamed = match target.table.as_str() {
        "" => tables.clone(),
        pattern if !source.table.is_empty() => pattern.replace("{table}", &source.table),
        pattern => pattern.to_owned(),
    };
    let place = |connection: &str, schema: &str, tables: &str| {
        let parts = [connection, schema, tables];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    };
    let how = match sync.mode() {
        v1::db_sync_spec::Mode::Incremental => "sync changes of",
        v1::db_sync_spec::Mode::Unspecified | v1::db_sync_spec::Mode::Full => "sync",
    };
    format!(
        "{how} {} → {}",
        place(&source.connection, &source.schema, &tables),
        place(&target.connection, &target.schema, &renamed)
    )
}

fn what_load(load: &v1::HttpLoadSpec) -> String {
    let time = load.duration.as_ref().map(quantity::std_duration);
    let time = time.map(|t| format!(" for {}", quantity::time(t))).unwrap_or_default();
    let how = if !load.stages.is_empty() {
        format!("{} stages", load.stages.len())
    } else if load.connections > 0 {
        format!("{} connections{time}", load.connections)
    } else {
        format!("{}/s{time}", quantity::rate(load.rate))
    };
    let method = if load.method.is_empty() { "GET" } else { &load.method };
    format!("{how}, {method} {}", load.url)
}

/// One run with its newest placement.
pub(super) fn run(run: &v1::Run, cx: &Context) -> String {
    let paint = cx.screen.out;
    let mut text = head(run, paint);
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("\n  {}  {value}", paint.dim(&format!("{label:<9}"))));
        }
    };
    line("does", &what(run.spec.as_ref()));
    line("job", bare(&run.job));
    line("created", &quantity::ago(run.create_time.as_ref(), now_ms()));
    line("took", &took(run));
    if let Some(progress) = &run.progress {
        line("progress", super::progress::progress_text(progress, paint).trim_start());
    }
    if let Some(counts) = &run.shard_counts {
        line("shards", &shard_counts(counts));
    }
    line("epoch", &run.epoch.to_string());
    if let Some(decision) = run.placements.first() {
        text.push_str("\n\n");
        text.push_str(&placement(decision, paint));
    }
    text
}

fn head(run: &v1::Run, paint: Paint) -> String {
    let state = run.state().as_str_name();
    let state = match state_tone(run.state()) {
        Tone::Good => paint.good(state),
        Tone::Bad => paint.bad(state),
        Tone::Warn => paint.warn(state),
        Tone::Plain | Tone::Dim => paint.strong(state),
    };
    let reason = if run.state_reason.is_empty() { String::new() } else { format!(": {}", run.state_reason) };
    format!("{}  {state}{reason}", paint.strong(bare(&run.name)))
}

fn shard_counts(counts: &v1::ShardCounts) -> String {
    let parts = [
        (counts.total, "in all"),
        (counts.pending, "pending"),
        (counts.running, "running"),
        (counts.done, "done"),
        (counts.failed, "failed"),
        (counts.yielded, "given up"),
    ];
    let told = parts.iter().filter_map(|(n, word)| n.filter(|n| *n > 0).map(|n| format!("{n} {word}")));
    told.collect::<Vec<_>>().join(", ")
}

/// A placement decision: who got how much, and why.
pub(crate) fn placement(decision: &v1::PlacementDecision, paint: Paint) -> String {
    let mut grid = Grid::new(
        &["WORKER", ">SHARE", ">SCORE", ">CORES", ">CPU %", ">MEMORY %", ">LATE P99", "NOT CHOSEN BECAUSE"],
        paint,
    );
    for candidate in &decision.candidates {
        let tone = if candidate.eligible { Tone::Plain } else { Tone::Dim };
        grid.toned([
            (bare(&candidate.node).to_owned(), tone),
            (share(candidate), tone),
            (format!("{:.2}", candidate.score), tone),
            (format!("{:.1}", candidate.cores), tone),
            (format!("{:.0}", candidate.cpu_percent), tone),
            (format!("{:.0}", candidate.memory_percent), tone),
            (format!("{} ms", quantity::millis(candidate.lateness_p99_ms)), tone),
            (candidate.reason.clone(), tone),
        ]);
    }
    let head = format!("  placement {} ({})", decision.revision, decision.reason);
    format!("{}\n{}", paint.dim(&head), grid.render(2))
}

/// A candidate's share of the work, as percent.
pub(crate) fn share(candidate: &v1::PlacementCandidate) -> String {
    match candidate.weight_total {
        0 => "0 %".to_owned(),
        total => format!("{:.1} %", f64::from(candidate.weight) * 100.0 / f64::from(total)),
    }
}

/// A list of shards.
pub(super) fn shards(shards: &[v1::Shard], cx: &Context) -> String {
    use v1::shard::State as Shard;
    if shards.is_empty() {
        return "no shards yet".to_owned();
    }
    let mut grid =
        Grid::new(&[">SHARD", "WHAT", "STATE", "WORKER", ">ATTEMPT", ">SHARE", "REASON"], cx.screen.out);
    for shard in shards {
        let tone = match shard.state() {
            Shard::Done => Tone::Good,
            Shard::Failed => Tone::Bad,
            Shard::Yielded => Tone::Warn,
            Shard::Unspecified | Shard::Pending | Shard::Assigned | Shard::Accepted | Shard::Running => {
                Tone::Plain
            }
        };
        let share = match shard.weight_total {
            0 => String::new(),
            total => format!("{:.1} %", f64::from(shard.weight) * 100.0 / f64::from(total)),
        };
        grid.toned([
            (shard.index.to_string(), Tone::Plain),
            (shard.title.clone(), Tone::Plain),
            (shard.state().as_str_name().to_owned(), tone),
            (bare(&shard.node).to_owned(), Tone::Plain),
            (shard.attempt.to_string(), Tone::Plain),
            (share, Tone::Plain),
            (shard.state_reason.clone(), Tone::Dim),
        ]);
    }
    grid.render(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_told_in_a_few_words() {
        let load = v1::HttpLoadSpec {
            url: "http://h/".into(),
            rate: 2000.0,
            duration: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            ..v1::HttpLoadSpec::default()
        };
        let spec = |load| v1::JobSpec { kind: Some(v1::job_spec::Kind::HttpLoad(load)) };
        assert_eq!(what(Some(&spec(load.clone()))), "2,000/s for 10.0 s, GET http://h/");
        let closed = v1::HttpLoadSpec { connections: 8, method: "POST".into(), ..load };
        assert_eq!(what(Some(&spec(closed))), "8 connections for 10.0 s, POST http://h/");
        assert_eq!(what(None), "");
    }

    #[test]
    fn a_sync_is_told_by_where_it_goes() {
        let source = |table: &str, tables: &[&str]| {
            Some(v1::SyncSource {
                connection: "shop_mysql".into(),
                table: table.into(),
                tables: tables.iter().map(|name| (*name).to_owned()).collect(),
                ..v1::SyncSource::default()
            })
        };
        let target = |schema: &str, table: &str| {
            Some(v1::SyncTarget {
                connection: "dw_pg".into(),
                schema: schema.into(),
                table: table.into(),
                ..v1::SyncTarget::default()
            })
        };
        let told = |source, target, mode: v1::db_sync_spec::Mode| {
            let sync = v1::DbSyncSpec { source, target, mode: mode.into(), ..v1::DbSyncSpec::default() };
            what(Some(&v1::JobSpec { kind: Some(v1::job_spec::Kind::DbSync(sync)) }))
        };
        use v1::db_sync_spec::Mode::{Full, Incremental};
        assert_eq!(
            told(source("orders", &[]), target("", ""), Full),
            "sync shop_mysql.orders → dw_pg.orders"
        );
        assert_eq!(
            told(source("orders", &[]), target("public", "{table}_copy"), Incremental),
            "sync changes of shop_mysql.orders → dw_pg.public.orders_copy"
        );
        assert_eq!(told(source("", &["a", "b*"]), target("", ""), Full), "sync shop_mysql.a,b* → dw_pg.a,b*");
    }

    #[test]
    fn shares_are_percent_and_nothing_divides_by_zero() {
        let candidate = |weight, weight_total| v1::PlacementCandidate {
            weight,
            weight_total,
            ..v1::PlacementCandidate::default()
        };
        assert_eq!(share(&candidate(1, 3)), "33.3 %");
        assert_eq!(share(&candidate(0, 0)), "0 %");
    }
}
