//! Outcomes as a table, for people and for docs/FAULTS.md.
//!
//! In: outcomes, rows that could not be done. Out: Markdown. Never: a row that was not done among those that held.
//! Tests: below.

use super::fault::Fault;
use super::matrix::ABSENT;
use super::pace::Pace;
use super::trial::Outcome;
use std::fmt::Write as _;
use std::time::Duration;

/// What came of each fault, in the order in which they were done first.
#[derive(Debug, Default)]
pub struct Table {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    row: u8,
    name: &'static str,
    took: Vec<Duration>,
    times: usize,
    undisturbed: bool,
    pace: Option<Pace>,
    rows_off: i64,
    /// Why it was not done.
    absent: Option<String>,
    shortfalls: Vec<String>,
    breaches: Vec<String>,
}

impl Table {
    /// Adds what came of a fault, or why nothing did.
    pub fn add(&mut self, fault: &Fault, outcome: Result<Outcome, String>) {
        let line = self.line(fault);
        match outcome {
            Ok(outcome) => {
                line.times += fault.times;
                line.took.extend(outcome.took);
                line.pace = match (line.pace, outcome.pace) {
                    (Some(one), Some(two)) => Some(one.worse(two)),
                    (one, two) => one.or(two),
                };
                if outcome.rows_off.abs() > line.rows_off.abs() {
                    line.rows_off = outcome.rows_off;
                }
                line.shortfalls.extend(outcome.shortfalls);
                line.breaches.extend(outcome.breaches);
            }
            Err(why) => line.breaches.push(why),
        }
    }

    /// Says that a fault could not be done here.
    pub fn absent(&mut self, fault: &Fault, why: &str) {
        self.line(fault).absent = Some(why.to_owned());
    }

    /// Invariants that did not hold, with the faults.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        let of = |line: &Line| {
            let name = line.name;
            line.breaches.iter().map(move |breach| format!("{name}: {breach}")).collect::<Vec<_>>()
        };
        self.lines.iter().flat_map(of).collect()
    }

    fn line(&mut self, fault: &Fault) -> &mut Line {
        let at = self.lines.iter().position(|line| line.name == fault.name).unwrap_or_else(|| {
            self.lines.push(Line {
                row: fault.row,
                name: fault.name,
                took: Vec::new(),
                times: 0,
                undisturbed: fault.undisturbed,
                pace: None,
                rows_off: 0,
                absent: None,
                shortfalls: Vec::new(),
                breaches: Vec::new(),
            });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// All of it as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = "| row | fault | times | next dispatch p50 / most | worst 100 ms: all / machine's stalls \
            apart | latest arrival | machine's longest stall | rows | verdict |\n|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for line in &self.lines {
            let _to_a_text = writeln!(text, "{}", line.markdown());
        }
        text.push_str("\nNot done on one machine, or elsewhere:\n\n| row | fault | why |\n|---|---|---|\n");
        for (row, name, why) in ABSENT {
            let _to_a_text = writeln!(text, "| {row} | {name} | {why} |");
        }
        text
    }
}

impl Line {
    fn markdown(&self) -> String {
        let (row, name, times) = (self.row, self.name, self.times);
        if let Some(why) = &self.absent {
            return format!("| {row} | {name} | 0 | | | | | | not done here: {why} |");
        }
        let mut took = self.took.clone();
        took.sort_unstable();
        let took = match (took.get(took.len() / 2), took.last()) {
            (Some(middle), Some(most)) => {
                format!("{:.2} / {:.2} s", middle.as_secs_f64(), most.as_secs_f64())
            }
            _ => "none".to_owned(),
        };
        let (windows, latest, stall) = self.pace.map_or_else(Default::default, |pace| {
            let asked = if self.undisturbed { "" } else { " (not asked)" };
            let windows =
                format!("{:.1} / {:.1} %{asked}", 100.0 * pace.worst, 100.0 * pace.worst_unexplained);
            (windows, format!("{:.1} ms", pace.latest_ms), format!("{:.1} ms", pace.stall_ms))
        });
        let rows = if self.rows_off == 0 { "exact".to_owned() } else { format!("{:+}", self.rows_off) };
        let mut verdict: Vec<String> =
            self.breaches.iter().map(|breach| format!("**BREACH** {breach}")).collect();
        verdict.extend(self.shortfalls.iter().cloned());
        let verdict = if verdict.is_empty() { "holds".to_owned() } else { verdict.join("; ") };
        let verdict = verdict.replace('|', "/").replace('\n', " ");
        format!("| {row} | {name} | {times} | {took} | {windows} | {latest} | {stall} | {rows} | {verdict} |")
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::all;
    use super::*;

    fn outcome(fault: Fault, ms: u64) -> Outcome {
        Outcome {
            fault,
            took: vec![Duration::from_millis(ms)],
            pace: None,
            rows_off: 0,
            breaches: Vec::new(),
            shortfalls: Vec::new(),
        }
    }

    #[test]
    fn a_fault_done_twice_is_one_line_and_its_worst_counts() {
        let fault = all()[0];
        let mut table = Table::default();
        table.add(&fault, Ok(outcome(fault, 400)));
        let worse = Outcome { rows_off: -3, breaches: vec!["a | b".into()], ..outcome(fault, 900) };
        table.add(&fault, Ok(worse));
        let text = table.markdown();
        assert!(text.contains("| 1 | SIGKILL of the leader | 2 | 0.90 / 0.90 s |"), "{text}");
        assert!(text.contains("| -3 | **BREACH** a / b |"), "{text}");
        assert_eq!(table.breaches(), ["SIGKILL of the leader: a | b"]);
    }

    #[test]
    fn what_was_not_done_does_not_hold() {
        let mut table = Table::default();
        table.absent(&all()[5], "no namespaces");
        table.add(&all()[0], Err("no leader".into()));
        let text = table.markdown();
        assert!(
            text.contains("not done here: no namespaces") && text.contains("**BREACH** no leader"),
            "{text}"
        );
        assert!(!text.contains("holds"), "{text}");
    }
}
