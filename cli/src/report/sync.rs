//! The report of a sync: what was copied, table by table, what it cost, and whether both ends are equal.
//!
//! In: a report. Out: text of at most 100 columns.
//! Never: computes a figure but a worker's part.
//! Tests: below.

use super::{WIDTH, cut, state_and_name, wrap};
use crate::client::bare;
use crate::grid::{Grid, Tone};
use crate::quantity::{bytes, count, rate, std_duration, time};
use crate::screen::Paint;
use shanty_proto::v1;
use v1::db_sync_spec::Verify;

/// Tables that are shown; the JSON has all.
const TABLES: usize = 100;

/// The report as text.
pub(super) fn render(
    report: &v1::Report,
    sync: &v1::DbSyncReport,
    run: Option<&v1::Run>,
    paint: Paint,
) -> String {
    let mut rooms = vec![
        head(report, sync, run, paint),
        tables(sync, paint),
        verification(sync, paint),
        lossy(sync, paint),
        notes(sync, paint),
        workers(sync, paint),
    ];
    rooms.retain(|room| !room.is_empty());
    rooms.join("\n\n")
}

fn head(report: &v1::Report, sync: &v1::DbSyncReport, run: Option<&v1::Run>, paint: Paint) -> String {
    let mut parts = state_and_name(report, run, paint);
    let compared = sync.tables.iter().filter_map(|table| table.verification.as_ref());
    match compared.clone().count() {
        0 => parts.push(paint.dim("not compared")),
        _ if compared.clone().all(|found| found.equal) => parts.push(paint.good("EQUAL")),
        _ => parts.push(paint.bad("DIFFERENT")),
    }
    let took = sync.duration.as_ref().map(std_duration).unwrap_or_default();
    let mut text = parts.join("  ");
    text.push_str(&format!(
        "\n  {} rows, {} in {}: {} rows/s",
        count(sync.rows),
        bytes(sync.bytes),
        time(took),
        rate(sync.rows_per_second.round())
    ));
    if sync.bad_rows > 0 {
        let bad = format!("{} rows were refused and put into shanty_sync_reject", count(sync.bad_rows));
        text.push_str(&format!("\n  {}", paint.bad(&bad)));
    }
    if let Some(run) = run.filter(|run| !run.state_reason.is_empty()) {
        for line in wrap(&run.state_reason, WIDTH - 2) {
            text.push_str(&format!("\n  {line}"));
        }
    }
    text
}

fn tables(sync: &v1::DbSyncReport, paint: Paint) -> String {
    if sync.tables.is_empty() {
        return String::new();
    }
    // Not every engine estimates.
    let estimated = sync.tables.iter().any(|table| table.rows_estimated.is_some());
    let heading = if estimated { ">ESTIMATED" } else { "" };
    let mut grid = Grid::new(&["TABLE", "TARGET", ">ROWS", ">BYTES", ">SHARDS", heading, ""], paint);
    for table in sync.tables.iter().take(TABLES) {
        let mut remarks = Vec::new();
        if table.created {
            remarks.push("created".to_owned());
        }
        if !table.watermark.is_empty() {
            remarks.push(format!("up to {}", table.watermark));
        }
        grid.toned([
            (cut(&table.source, 24), Tone::Plain),
            (cut(&table.target, 24), Tone::Plain),
            (count(table.rows), Tone::Plain),
            (bytes(table.bytes), Tone::Plain),
            (table.shards.to_string(), Tone::Plain),
            (table.rows_estimated.map(count).unwrap_or_default(), Tone::Dim),
            (cut(&remarks.join(", "), 24), Tone::Dim),
        ]);
    }
    let mut text = grid.render(2);
    if sync.tables.len() > TABLES {
        text.push_str(&format!("\n  and {} more tables: see -o json", sync.tables.len() - TABLES));
    }
    text
}

fn verification(sync: &v1::DbSyncReport, paint: Paint) -> String {
    let mut grid = Grid::new(
        &["COMPARED", "BY", ">SOURCE", ">TARGET", ">MISSING", ">EXTRA", ">DIFFERENT", ">REPAIRED", ""],
        paint,
    );
    let mut below = Vec::new();
    for (table, found) in sync.tables.iter().filter_map(|table| Some((table, table.verification.as_ref()?))) {
        let figure = |value: i64| (count(value), if value > 0 { Tone::Bad } else { Tone::Plain });
        let by = match found.level() {
            Verify::Count => "count",
            Verify::Checksum if found.read_back => "read back",
            Verify::Checksum => "checksum",
            Verify::Repair => "repair",
            Verify::None | Verify::Unspecified => "",
        };
        let (mark, tone) = if found.equal { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        grid.toned([
            (cut(&table.source, 28), Tone::Plain),
            (by.to_owned(), Tone::Plain),
            (count(found.source_rows), Tone::Plain),
            (count(found.target_rows), Tone::Plain),
            figure(found.missing),
            figure(found.extra),
            figure(found.different),
            (count(found.repaired), Tone::Plain),
            (mark.to_owned(), tone),
        ]);
        if !found.examples.is_empty() {
            below.push((table, format!("for example {}", found.examples.join("; "))));
        }
        if !found.not_compared.is_empty() {
            below.push((table, format!("not compared: {}", found.not_compared.join(", "))));
        }
    }
    if grid.is_empty() {
        return String::new();
    }
    let mut text = grid.render(2);
    for (table, line) in below {
        for line in wrap(&format!("{}: {line}", table.source), WIDTH - 4) {
            text.push_str(&format!("\n    {}", paint.dim(&line)));
        }
    }
    text
}

fn lossy(sync: &v1::DbSyncReport, paint: Paint) -> String {
    let mut grid = Grid::new(&["CHANGED OR LEFT OUT", ">VALUES"], paint);
    for event in &sync.lossy {
        grid.toned([(event.event.clone(), Tone::Warn), (count(event.count), Tone::Plain)]);
    }
    if grid.is_empty() { String::new() } else { grid.render(2) }
}

/// What a copy does not have that its source has.
fn notes(sync: &v1::DbSyncReport, paint: Paint) -> String {
    let mut lines = Vec::new();
    for table in sync.tables.iter().take(TABLES).filter(|table| !table.left_out.is_empty()) {
        let text = format!("{} comes without: {}", table.source, table.left_out.join("; "));
        lines.extend(wrap(&text, WIDTH - 2).into_iter().map(|line| format!("  {}", paint.dim(&line))));
    }
    lines.join("\n")
}

fn workers(sync: &v1::DbSyncReport, paint: Paint) -> String {
    let mut grid = Grid::new(&["WORKER", ">SHARDS", ">ROWS", ">PART"], paint);
    for worker in &sync.workers {
        let part = match sync.rows {
            0 => String::new(),
            rows => format!("{:.0} %", worker.rows as f64 * 100.0 / rows as f64),
        };
        grid.row([bare(&worker.node).to_owned(), worker.shards.to_string(), count(worker.rows), part]);
    }
    if grid.is_empty() { String::new() } else { grid.render(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(source: &str, verification: Option<v1::SyncVerification>) -> v1::SyncTableReport {
        v1::SyncTableReport {
            source: source.into(),
            target: format!("public.{source}"),
            rows: 300_000,
            bytes: 52_800_000,
            rows_estimated: Some(299_000),
            shards: 8,
            created: true,
            left_out: vec!["foreign key orders_customer".into(), "check total_positive".into()],
            watermark: String::new(),
            verification,
        }
    }

    fn found(missing: i64, equal: bool) -> Option<v1::SyncVerification> {
        Some(v1::SyncVerification {
            level: Verify::Checksum.into(),
            source_rows: 300_000,
            target_rows: 300_000 - missing,
            missing,
            equal,
            examples: (0..missing).map(|i| format!("id={i}")).collect(),
            not_compared: vec!["doc".into()],
            ..v1::SyncVerification::default()
        })
    }

    fn report(tables: Vec<v1::SyncTableReport>) -> v1::Report {
        let sync = v1::DbSyncReport {
            rows: 600_000,
            bytes: 105_600_000,
            duration: Some(prost_types::Duration { seconds: 2, nanos: 500_000_000 }),
            rows_per_second: 240_000.4,
            bad_rows: 2,
            lossy: vec![v1::LossyCount { event: "ZERO_DATE".into(), count: 12 }],
            tables,
            workers: vec![v1::SyncWorkerReport { node: "nodes/w1".into(), shards: 16, rows: 150_000 }],
        };
        v1::Report { run: "runs/adhoc.1".into(), r#final: true, kind: Some(v1::report::Kind::DbSync(sync)) }
    }

    #[test]
    fn a_report_fits_100_columns_and_says_what_matters() {
        let report = report(vec![table("orders", found(2, false)), table("items", found(0, true))]);
        let run = v1::Run {
            name: "runs/adhoc.1".into(),
            state: v1::run::State::Failed.into(),
            state_reason: "orders: 2 rows missing, 0 extra, 0 different, 0 of them repaired".into(),
            ..v1::Run::default()
        };
        let text = super::super::render(&report, Some(&run), Paint(false));
        println!("{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
        }
        for part in [
            "✗ FAILED",
            "DIFFERENT",
            "600,000 rows, 100.7 MiB in 2.5 s: 240,000 rows/s",
            "shanty_sync_reject",
            "public.orders",
            "created",
            "for example id=0; id=1",
            "not compared: doc",
            "ZERO_DATE",
            "comes without: foreign key orders_customer",
            "25 %",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn what_was_not_compared_is_not_called_equal() {
        let text = super::super::render(&report(vec![table("orders", None)]), None, Paint(false));
        assert!(
            text.contains("not compared") && !text.contains("EQUAL") && !text.contains("COMPARED"),
            "{text}"
        );
        let text = super::super::render(&report(vec![table("a", found(0, true))]), None, Paint(false));
        assert!(text.contains("EQUAL") && text.contains(" checksum "), "{text}");
        let back = found(0, true).map(|found| v1::SyncVerification { read_back: true, ..found });
        let text = super::super::render(&report(vec![table("a", back)]), None, Paint(false));
        assert!(text.contains("EQUAL") && text.contains(" read back "), "{text}");
    }
}
