//! The report of a run for people: verdict first, then rates, latencies, workers, statuses, thresholds; of a
//! sync what was copied and whether both ends are equal (`sync`).
//!
//! In: a report, the run it belongs to when known. Out: text of at most 100 columns.
//! Never: computes a figure; it prints what was measured.
//! Tests: below.

mod sync;

use crate::client::bare;
use crate::grid::{Grid, Tone};
use crate::quantity::{bytes, count, millis, percent, rate_tenths, std_duration, time};
use crate::run::state_tone;
use crate::screen::Paint;
use shanty_proto::v1;
use v1::http_load_report::Verdict;

/// Columns that a line may have.
const WIDTH: usize = 100;

/// The report as text.
pub(crate) fn render(report: &v1::Report, run: Option<&v1::Run>, paint: Paint) -> String {
    match &report.kind {
        Some(v1::report::Kind::HttpLoad(load)) => http_load(report, load, run, paint),
        Some(v1::report::Kind::DbSync(sync)) => sync::render(report, sync, run, paint),
        None => format!("{}: no figures yet", bare(&report.run)),
    }
}

fn http_load(report: &v1::Report, load: &v1::HttpLoadReport, run: Option<&v1::Run>, paint: Paint) -> String {
    let mut rooms = vec![verdict(report, load, run, paint), rates(load, paint), latencies(load, paint)];
    rooms.push(workers(load, paint));
    rooms.push(answers(load, paint));
    rooms.push(thresholds(load, paint));
    rooms.retain(|room| !room.is_empty());
    rooms.join("\n\n")
}

/// The run's name and how it ended, or that it has not.
fn state_and_name(report: &v1::Report, run: Option<&v1::Run>, paint: Paint) -> Vec<String> {
    let mut parts = vec![paint.strong(bare(&report.run))];
    if let Some(run) = run {
        let state = run.state().as_str_name();
        parts.push(match state_tone(run.state()) {
            Tone::Good => paint.good(&format!("✓ {state}")),
            Tone::Bad => paint.bad(&format!("✗ {state}")),
            Tone::Warn => paint.warn(state),
            Tone::Plain | Tone::Dim => state.to_owned(),
        });
    } else if !report.r#final {
        parts.push(paint.warn("so far"));
    }
    parts
}

fn verdict(report: &v1::Report, load: &v1::HttpLoadReport, run: Option<&v1::Run>, paint: Paint) -> String {
    let mut parts = state_and_name(report, run, paint);
    parts.push(match load.verdict() {
        Verdict::Valid => paint.good("VALID"),
        Verdict::Invalid => paint.bad("INVALID"),
        Verdict::Unspecified => paint.dim("no verdict yet"),
    });
    let mut text = parts.join("  ");
    for line in wrap(&load.verdict_reason, WIDTH - 2) {
        text.push_str(&format!("\n  {}", paint.dim(&line)));
    }
    if let Some(run) = run.filter(|run| !run.state_reason.is_empty()) {
        text.push_str(&format!("\n  {}", cut(&run.state_reason, WIDTH - 2)));
    }
    text
}

fn rates(load: &v1::HttpLoadReport, paint: Paint) -> String {
    let mut grid = Grid::new(&["REQUESTS", ">COUNT", ">PER SECOND", ""], paint);
    let measured =
        load.duration.as_ref().map(|d| format!("in {}", time(std_duration(d)))).unwrap_or_default();
    if load.scheduled > 0 {
        grid.row(["offered", &count(load.scheduled), &rate_tenths(load.target_rate), &measured]);
    }
    let volume = format!("{} out, {} in", bytes(load.bytes_sent), bytes(load.bytes_received));
    grid.row(["sent", &count(load.sent), &rate_tenths(load.sent_rate), &volume]);
    let sent_note = if load.scheduled > 0 { String::new() } else { measured };
    grid.row(["completed", &count(load.completed), &rate_tenths(load.completed_rate), &sent_note]);
    let mut odd = |word: &str, number: i64, note: &str, always: bool, tone: Tone| {
        if number > 0 || always {
            let tone = if number > 0 { tone } else { Tone::Plain };
            grid.toned([(word, tone), (&count(number), tone), ("", tone), (note, Tone::Plain)]);
        }
    };
    odd("errors", load.errors, &percent(load.error_rate), true, Tone::Bad);
    odd(
        "dropped",
        load.dropped,
        "not sent: the generator was too late or heard late of a change, or the run was stopped",
        false,
        Tone::Bad,
    );
    odd("astray", load.astray, "sent by workers that heard late whose it was", false, Tone::Bad);
    let lost =
        load.workers.iter().filter(|w| w.was_lost).map(|w| bare(&w.node)).collect::<Vec<_>>().join(", ");
    let with = if lost.is_empty() {
        "between a worker's last report and the takeover by the others".to_owned()
    } else {
        format!("with {lost}, until the others took over")
    };
    odd("lost", load.lost, &with, !lost.is_empty(), Tone::Warn);
    odd("waited", load.waited, "found every connection busy", false, Tone::Warn);
    grid.render(2)
}

fn latencies(load: &v1::HttpLoadReport, paint: Paint) -> String {
    let mut grid =
        Grid::new(&["LATENCY (ms)", ">MEAN", ">P50", ">P90", ">P99", ">P99.9", ">MAX", "MEASURED"], paint);
    let rows = [
        ("response", &load.response, "from the intended start to the answer"),
        ("service", &load.service, "from the send to the answer"),
        ("lateness", &load.lateness, "from the intended start to the send"),
    ];
    for (name, summary, note) in rows {
        let Some(s) = summary.as_ref().filter(|s| s.count > 0) else { continue };
        let figures = [s.mean_ms, s.p50_ms, s.p90_ms, s.p99_ms, s.p999_ms, s.max_ms].map(millis);
        let mut cells = vec![(name.to_owned(), Tone::Plain)];
        cells.extend(figures.map(|figure| (figure, Tone::Plain)));
        let beyond = match s.clamped {
            0 => note.to_owned(),
            n => format!("{} above 60 s counted as 60 s", count(n)),
        };
        cells.push((beyond, Tone::Dim));
        grid.toned(cells);
    }
    if grid.is_empty() { String::new() } else { grid.render(2) }
}

fn workers(load: &v1::HttpLoadReport, paint: Paint) -> String {
    if load.workers.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new(
        &["WORKER", ">SENT", ">COMPLETED", ">ERRORS", ">LOST", ">P50 (ms)", ">P99 (ms)", ">LATE P99", ""],
        paint,
    );
    for worker in &load.workers {
        let p = |summary: &Option<v1::LatencySummary>, pick: fn(&v1::LatencySummary) -> f64| {
            summary.as_ref().filter(|s| s.count > 0).map(|s| millis(pick(s))).unwrap_or_default()
        };
        let tone = if worker.was_lost { Tone::Warn } else { Tone::Plain };
        let error_tone = if worker.errors > 0 { Tone::Bad } else { tone };
        grid.toned([
            (bare(&worker.node).to_owned(), tone),
            (count(worker.sent), tone),
            (count(worker.completed), tone),
            (count(worker.errors), error_tone),
            (count(worker.lost), tone),
            (p(&worker.response, |s| s.p50_ms), tone),
            (p(&worker.response, |s| s.p99_ms), tone),
            (p(&worker.lateness, |s| s.p99_ms), tone),
            (if worker.was_lost { "lost on the way".to_owned() } else { String::new() }, tone),
        ]);
    }
    grid.render(2)
}

fn answers(load: &v1::HttpLoadReport, paint: Paint) -> String {
    let mut grid = Grid::new(&["ANSWERS", ">COUNT"], paint);
    for status in &load.statuses {
        let tone = match status.status {
            200..400 => Tone::Good,
            400..500 => Tone::Warn,
            500.. => Tone::Bad,
            0..200 => Tone::Plain,
        };
        grid.toned([(format!("HTTP {}", status.status), tone), (count(status.count), Tone::Plain)]);
    }
    for class in &load.error_classes {
        grid.toned([(class.class.clone(), Tone::Bad), (count(class.count), Tone::Plain)]);
    }
    if grid.is_empty() { String::new() } else { grid.render(2) }
}

fn thresholds(load: &v1::HttpLoadReport, paint: Paint) -> String {
    if load.thresholds.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new(&["THRESHOLD", ">MEASURED", ""], paint);
    for threshold in &load.thresholds {
        let (mark, tone) = if threshold.holds { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        let measured = if threshold.threshold.contains("_ms") {
            millis(threshold.measured)
        } else {
            plain(threshold.measured)
        };
        grid.toned([(threshold.threshold.as_str(), Tone::Plain), (&measured, Tone::Plain), (mark, tone)]);
    }
    grid.render(2)
}

/// A figure with at most five decimals.
fn plain(value: f64) -> String {
    let text = format!("{value:.5}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A text in lines of at most `width` characters, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(cut(word, width)),
        }
    }
    lines
}

/// A text of at most `width` characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn summary(scale: f64) -> Option<v1::LatencySummary> {
        Some(v1::LatencySummary {
            count: 14_000,
            min_ms: 0.1 * scale,
            mean_ms: 0.412 * scale,
            p50_ms: 0.301 * scale,
            p90_ms: 0.8 * scale,
            p95_ms: 1.0 * scale,
            p99_ms: 2.345 * scale,
            p999_ms: 12.3 * scale,
            max_ms: 1234.5 * scale,
            clamped: 0,
        })
    }

    fn worker(name: &str, was_lost: bool) -> v1::WorkerReport {
        v1::WorkerReport {
            node: format!("nodes/{name}"),
            sent: 5_012,
            completed: 5_010,
            errors: 2,
            lost: if was_lost { 333 } else { 0 },
            response: summary(1.0),
            lateness: summary(0.01),
            was_lost,
        }
    }

    pub(crate) fn sample() -> v1::Report {
        let load = v1::HttpLoadReport {
            verdict: Verdict::Valid.into(),
            verdict_reason: "the load was what was asked for".into(),
            scheduled: 15_000,
            sent: 14_667,
            completed: 14_665,
            errors: 2,
            lost: 333,
            duration: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            target_rate: 1500.0,
            sent_rate: 1466.7,
            completed_rate: 1466.5,
            error_rate: 0.000_136,
            bytes_sent: 1_200_000,
            bytes_received: 2_400_000,
            response: summary(1.0),
            service: summary(0.9),
            lateness: summary(0.01),
            statuses: vec![v1::StatusCount { status: 200, count: 14_665 }],
            error_classes: vec![v1::ErrorCount { class: "timeout".into(), count: 2 }],
            workers: vec![worker("w1", false), worker("w2", true), worker("w3", false)],
            thresholds: vec![
                v1::ThresholdResult { threshold: "p99_ms<250".into(), measured: 2.345, holds: true },
                v1::ThresholdResult {
                    threshold: "error_rate<0.0001".into(),
                    measured: 0.000_136,
                    holds: false,
                },
            ],
            engine: "fast".into(),
            ..v1::HttpLoadReport::default()
        };
        v1::Report { run: "runs/adhoc.1".into(), r#final: true, kind: Some(v1::report::Kind::HttpLoad(load)) }
    }

    #[test]
    fn a_report_fits_100_columns_and_says_what_matters() {
        let run = v1::Run {
            name: "runs/adhoc.1".into(),
            state: v1::run::State::Failed.into(),
            state_reason: "threshold error_rate<0.0001 does not hold: 0.00014".into(),
            ..v1::Run::default()
        };
        let text = render(&sample(), Some(&run), Paint(false));
        println!("{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
        }
        for part in
            ["✗ FAILED", "VALID", "15,000", "P99.9", "w2", "lost on the way", "HTTP 200", "timeout", "✓", "✗"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn an_empty_report_is_no_table_of_zeros() {
        let report = v1::Report { run: "runs/a.1".into(), ..v1::Report::default() };
        assert_eq!(render(&report, None, Paint(false)), "a.1: no figures yet");
    }

    #[test]
    fn long_texts_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), Vec::<String>::new());
        assert_eq!(wrap("unbreakable", 5), ["unbr…"]);
    }

    #[test]
    fn long_reasons_are_cut_at_a_character() {
        assert_eq!(cut("夜間処理", 3), "夜間…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
