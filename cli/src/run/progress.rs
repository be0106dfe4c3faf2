//! Progress as lines of text, for each kind.
//!
//! In: a message. Out: one line that fits 100 columns; for a sync also a line per table at work.
//! Never: computes what the cluster tells.
//! Tests: below.

use crate::quantity;
use crate::report::cut;
use crate::screen::Paint;
use shanty_proto::v1;
use std::time::Duration;

/// Tables that have a line of their own; of a hundred nobody reads more.
pub(super) const TABLES: usize = 4;

/// Time since the start, in a column of its own.
pub(crate) fn elapsed(duration: Duration) -> String {
    let text = if duration < Duration::from_secs(60) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        quantity::time(duration)
    };
    format!("{text:>8}")
}

/// One line of progress.
pub(crate) fn progress_text(progress: &v1::Progress, paint: Paint) -> String {
    let mut parts = vec![elapsed(progress.elapsed.as_ref().map_or(Duration::ZERO, quantity::std_duration))];
    if let Some(fraction) = progress.fraction {
        parts.push(format!("{:>4.0} %", fraction * 100.0));
    }
    match &progress.kind {
        Some(v1::progress::Kind::HttpLoad(load)) => parts.extend(of_load(load, paint)),
        Some(v1::progress::Kind::DbSync(sync)) => parts.extend(of_sync(progress, sync, paint)),
        None => {}
    }
    parts.join("  ").trim_end().to_owned()
}

fn of_load(load: &v1::LoadProgress, paint: Paint) -> Vec<String> {
    // Sums that are not told yet are not zero.
    if load.sent == Some(0) && load.errors() == 0 && load.sent_rate() == 0.0 {
        let target = quantity::rate(load.target_rate());
        let begins =
            if load.target_rate() > 0.0 { format!("begins at {target}/s") } else { "begins".to_owned() };
        return vec![begins];
    }
    let sent = quantity::rate(load.sent_rate());
    let rate = match load.target_rate() {
        0.0 => format!("{sent}/s"),
        target => format!("{sent} of {}/s", quantity::rate(target)),
    };
    let mut parts = vec![format!("{rate:>18}")];
    if load.completed_rate() > 0.0 {
        parts.push(format!("p50 {:>5} ms", quantity::millis(load.p50_ms())));
        parts.push(format!("p99 {:>5} ms", quantity::millis(load.p99_ms())));
    } else {
        parts.push("no answers".to_owned());
    }
    // A new leader may still be at the results of before it.
    let errors = load
        .errors
        .map_or_else(|| "errors …".to_owned(), |errors| format!("{} errors", quantity::count(errors)));
    parts.push(if load.errors() > 0 { paint.bad(&errors) } else { errors });
    parts.push(quantity::things(load.workers(), "worker"));
    parts
}

fn of_sync(progress: &v1::Progress, sync: &v1::SyncProgress, paint: Paint) -> Vec<String> {
    let mut parts = vec![format!("{:<9}", if sync.phase.is_empty() { "planning" } else { &sync.phase })];
    if sync.tables.is_empty() && sync.rows() == 0 {
        return parts;
    }
    parts.push(format!("{:>11} rows", quantity::count(sync.rows())));
    parts.push(format!("{:>10}", quantity::bytes(sync.bytes())));
    if sync.rows_per_second() > 0.0 {
        parts.push(format!("{:>9}/s", whole(sync.rows_per_second())));
    }
    if let Some(left) = left(progress, sync) {
        parts.push(format!("{} left", quantity::time(left)));
    }
    match sync.tables.as_slice() {
        [one] => parts.push(shards(one, paint)),
        several => {
            let done = several.iter().filter(|table| table.phase == "done").count();
            parts.push(format!("{done}/{} tables", several.len()));
        }
    }
    parts
}

/// A rate without decimals: nobody reads tenths of rows.
fn whole(rate: f64) -> String {
    quantity::rate(rate.round())
}

/// Time left: as the cluster says, else by the present rate.
fn left(progress: &v1::Progress, sync: &v1::SyncProgress) -> Option<Duration> {
    if let Some(left) = &progress.remaining {
        return Some(quantity::std_duration(left)).filter(|left| !left.is_zero());
    }
    let rows = sync.rows_estimated?.saturating_sub(sync.rows());
    if rows <= 0 || sync.rows_per_second() <= 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(rows as f64 / sync.rows_per_second()).ok()
}

/// `3+2/8 shards`: done, being copied, found.
fn shards(table: &v1::SyncTableProgress, paint: Paint) -> String {
    let running = match table.running() {
        0 => String::new(),
        running => format!("+{running}"),
    };
    let text = format!("shards {}{running}/{}", table.done(), table.shards());
    match table.failed() {
        0 => text,
        failed => format!("{text} {}", paint.bad(&format!("{failed} failed"))),
    }
}

/// A line for each table that is being worked on, when there are several.
pub(super) fn table_lines(progress: &v1::Progress, paint: Paint) -> Vec<String> {
    let Some(v1::progress::Kind::DbSync(sync)) = &progress.kind else { return Vec::new() };
    if sync.tables.len() < 2 {
        return Vec::new();
    }
    let at_work = |table: &&v1::SyncTableProgress| {
        table.failed() > 0 || !matches!(table.phase.as_str(), "" | "planned" | "done")
    };
    let lines = sync.tables.iter().filter(at_work).take(TABLES).map(|table| {
        let part = match table.rows_estimated() {
            estimated if estimated > 0 && table.rows() <= estimated => {
                format!("{:>3.0} %", table.rows() as f64 * 100.0 / estimated as f64)
            }
            _ => String::new(),
        };
        format!(
            "          {:<28} {part:>5}  {:<9}  {:>11} rows  {}",
            cut(&table.source, 28),
            table.phase,
            quantity::count(table.rows()),
            shards(table, paint)
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_fits_a_terminal_and_lines_up() {
        let load = v1::LoadProgress {
            target_rate: Some(2000.0),
            sent_rate: Some(1999.8),
            completed_rate: Some(1999.8),
            sent: Some(8000),
            p50_ms: Some(0.31),
            p99_ms: Some(12.0),
            errors: Some(0),
            workers: Some(3),
            ..v1::LoadProgress::default()
        };
        let progress = v1::Progress {
            fraction: Some(0.4),
            elapsed: Some(prost_types::Duration { seconds: 4, nanos: 0 }),
            remaining: None,
            kind: Some(v1::progress::Kind::HttpLoad(load)),
        };
        let text = progress_text(&progress, Paint(false));
        assert_eq!(
            text,
            "   4.0 s    40 %  1,999.8 of 2,000/s  p50 0.310 ms  p99 12.00 ms  0 errors  3 workers"
        );
        assert!(text.len() <= 100);
    }

    #[test]
    fn a_closed_loop_has_no_target_rate() {
        let load = v1::LoadProgress { sent_rate: Some(10.0), ..v1::LoadProgress::default() };
        let progress =
            v1::Progress { kind: Some(v1::progress::Kind::HttpLoad(load)), ..v1::Progress::default() };
        assert!(progress_text(&progress, Paint(false)).contains(" 10/s "));
    }

    #[test]
    fn sums_that_a_new_leader_does_not_know_yet_are_no_zeros() {
        let load = v1::LoadProgress { sent_rate: Some(10.0), ..v1::LoadProgress::default() };
        let kind = |load| Some(v1::progress::Kind::HttpLoad(load));
        let unknown = v1::Progress { kind: kind(load), ..v1::Progress::default() };
        assert!(progress_text(&unknown, Paint(false)).contains("  errors …"));
        let known = v1::Progress {
            kind: kind(v1::LoadProgress { errors: Some(0), ..load }),
            ..v1::Progress::default()
        };
        assert!(progress_text(&known, Paint(false)).contains("  0 errors"));
    }

    fn table(source: &str, phase: &str, done: u32, running: u32) -> v1::SyncTableProgress {
        v1::SyncTableProgress {
            source: source.into(),
            phase: phase.into(),
            rows: Some(500_000),
            rows_estimated: Some(2_000_000),
            shards: Some(8),
            done: Some(done),
            running: Some(running),
            failed: Some(0),
        }
    }

    fn sync(tables: Vec<v1::SyncTableProgress>) -> v1::Progress {
        let sync = v1::SyncProgress {
            rows: Some(1_234_567),
            rows_estimated: Some(4_938_268),
            bytes: Some(217_283_792),
            rows_per_second: Some(246_913.4),
            bytes_per_second: Some(43_456_758.0),
            workers: Some(3),
            phase: "copying".into(),
            tables,
        };
        v1::Progress {
            fraction: Some(0.25),
            elapsed: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
            remaining: None,
            kind: Some(v1::progress::Kind::DbSync(sync)),
        }
    }

    #[test]
    fn a_sync_says_rows_rate_time_left_and_shards() {
        let one = sync(vec![table("orders", "copying", 3, 2)]);
        let text = progress_text(&one, Paint(false));
        for part in
            ["25 %", "copying", "1,234,567 rows", "207.2 MiB", "246,913/s", "15.0 s left", "shards 3+2/8"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(text.len() <= 100 && table_lines(&one, Paint(false)).is_empty(), "{}: {text}", text.len());
    }

    #[test]
    fn of_several_tables_those_at_work_have_a_line() {
        let mut failing = table("items", "copying", 0, 0);
        failing.failed = Some(2);
        let several = sync(vec![
            table("orders", "copying", 3, 2),
            table("log", "done", 8, 0),
            failing,
            table("x", "planned", 0, 0),
        ]);
        assert!(progress_text(&several, Paint(false)).ends_with("1/4 tables"));
        let lines = table_lines(&several, Paint(false));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("orders") && lines[0].contains("25 %") && lines[0].contains("shards 3+2/8")
        );
        assert!(lines[1].contains("items") && lines[1].contains("2 failed"));
        assert!(lines.iter().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn a_sync_that_plans_has_nothing_to_count_yet() {
        let planning = v1::SyncProgress { phase: "planning".into(), ..v1::SyncProgress::default() };
        let progress =
            v1::Progress { kind: Some(v1::progress::Kind::DbSync(planning)), ..v1::Progress::default() };
        assert!(progress_text(&progress, Paint(false)).trim_end().ends_with("planning"));
    }
}
