//! What a watch shows while a run goes on: a bar on a terminal, a line a second elsewhere, JSON lines when
//! asked for.
//!
//! In: events. Out: standard error (standard output for JSON).
//! Never: asks the cluster.
//! Tests: below.

use crate::client::bare;
use crate::error::Error;
use crate::json::{self, Layout};
use crate::quantity;
use crate::screen::{Output, Paint, Screen};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shanty_proto::v1;
use std::time::Duration;
use v1::run_event::Event;

/// Steps of the bar.
const STEPS: u64 = 1000;

/// What a watch shows.
pub(crate) struct View {
    screen: Screen,
    bar: Option<ProgressBar>,
    began: Option<prost_types::Timestamp>,
}

impl View {
    /// A view for this screen.
    pub(crate) fn new(screen: Screen) -> View {
        let bar = (screen.live && screen.output == Output::Table).then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            let template = if screen.err.0 {
                "  {bar:10.cyan/black.bright} {wide_msg}"
            } else {
                "  {bar:10} {wide_msg}"
            };
            // A template that does not parse leaves the default bar, which shows the same.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸━"));
            }
            bar
        });
        View { screen, bar, began: None }
    }

    /// Shows an event.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn event(&mut self, event: &v1::RunEvent) -> Result<(), Error> {
        if self.screen.output == Output::Json {
            return self.screen.data(&json::of(event, Layout::Line)?);
        }
        let at = self.since_start(event.time.as_ref());
        let paint = self.screen.err;
        match &event.event {
            Some(Event::Snapshot(run)) => {
                self.began = run.start_time.or(run.create_time);
                let reason = reason(&run.state_reason);
                self.note(&format!(
                    "{} {}{reason}",
                    paint.strong(bare(&run.name)),
                    run.state().as_str_name()
                ));
                if let Some(progress) = &run.progress {
                    self.progress(progress);
                }
            }
            Some(Event::Progress(progress)) => self.progress(progress),
            Some(Event::StateChange(change)) => {
                if change.to() == v1::run::State::Running {
                    self.began = event.time.or(self.began);
                }
                self.note(&format!("{at}  {}{}", change.to().as_str_name(), reason(&change.reason)));
            }
            Some(Event::ShardChange(change)) => {
                if let Some(text) = shard_line(change) {
                    self.note(&format!("{at}  {}", paint.dim(&text)));
                }
            }
            Some(Event::Note(note)) => self.note(&note_line(&at, note, paint)),
            Some(Event::Heartbeat(_)) | None => {}
            Some(Event::Done(done)) => {
                if let Some(progress) = done.run.as_ref().and_then(|run| run.progress.as_ref())
                    && self.bar.is_some()
                {
                    self.progress(progress);
                }
            }
        }
        Ok(())
    }

    /// Says something in the course of the run.
    pub(crate) fn note(&self, text: &str) {
        self.teller().say(text);
    }

    /// A way to say something beside the bar while the view is busy elsewhere.
    pub(crate) fn teller(&self) -> Teller {
        Teller { screen: self.screen, bar: self.bar.clone() }
    }

    /// Shows that the stream is lost and being looked for.
    pub(crate) fn waiting(&self, lost: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("connection lost, trying again ({})", quantity::time(lost)));
        }
    }

    /// Takes the bar away.
    pub(crate) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn progress(&self, progress: &v1::Progress) {
        let text = progress_text(progress, self.screen.err);
        match &self.bar {
            Some(bar) => {
                bar.set_position(steps(progress.fraction()));
                bar.set_message(text);
            }
            None => self.screen.say(&text),
        }
    }

    fn since_start(&self, time: Option<&prost_types::Timestamp>) -> String {
        let (Some(began), Some(time)) = (&self.began, time) else { return elapsed(Duration::ZERO) };
        let ms = |t: &prost_types::Timestamp| {
            t.seconds.saturating_mul(1000).saturating_add(i64::from(t.nanos) / 1_000_000)
        };
        elapsed(Duration::from_millis(u64::try_from(ms(time).saturating_sub(ms(began))).unwrap_or(0)))
    }
}

/// Says lines above the bar.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    screen: Screen,
    bar: Option<ProgressBar>,
}

impl Teller {
    /// Says a line.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.screen.say(text)),
            None => self.screen.say(text),
        }
    }
}

/// Time since the start, in a column of its own.
pub(crate) fn elapsed(duration: Duration) -> String {
    let text = if duration < Duration::from_secs(60) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        quantity::time(duration)
    };
    format!("{text:>8}")
}

fn steps(fraction: f64) -> u64 {
    // Tenths of a percent by comparison: no cast that could lose a sign.
    (0..STEPS).take_while(|step| (*step as f64 + 0.5) / STEPS as f64 <= fraction).count() as u64
}

/// One line of progress.
pub(crate) fn progress_text(progress: &v1::Progress, paint: Paint) -> String {
    let mut parts = vec![elapsed(progress.elapsed.as_ref().map_or(Duration::ZERO, quantity::std_duration))];
    if let Some(fraction) = progress.fraction {
        parts.push(format!("{:>4.0} %", fraction * 100.0));
    }
    if let Some(v1::progress::Kind::HttpLoad(load)) = &progress.kind {
        if load.sent() == 0 && load.errors() == 0 && load.sent_rate() == 0.0 {
            let target = quantity::rate(load.target_rate());
            parts.push(if load.target_rate() > 0.0 {
                format!("begins at {target}/s")
            } else {
                "begins".to_owned()
            });
            return parts.join("  ");
        }
        let sent = quantity::rate(load.sent_rate());
        let rate = match load.target_rate() {
            0.0 => format!("{sent}/s"),
            target => format!("{sent} of {}/s", quantity::rate(target)),
        };
        parts.push(format!("{rate:>18}"));
        if load.completed_rate() > 0.0 {
            parts.push(format!("p50 {:>5} ms", quantity::millis(load.p50_ms())));
            parts.push(format!("p99 {:>5} ms", quantity::millis(load.p99_ms())));
        } else {
            parts.push("no answers".to_owned());
        }
        let errors = format!("{} errors", quantity::count(load.errors()));
        parts.push(if load.errors() > 0 { paint.bad(&errors) } else { errors });
        parts.push(quantity::things(load.workers(), "worker"));
    }
    parts.join("  ")
}

fn reason(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn note_line(at: &str, note: &v1::RunNote, paint: Paint) -> String {
    match note.severity() {
        v1::run_note::Severity::Warning => format!("{at}  {} {}", paint.warn("!"), paint.warn(&note.message)),
        v1::run_note::Severity::Info | v1::run_note::Severity::Unspecified => {
            format!("{at}  {}", note.message)
        }
    }
}

/// A shard's change in words when it did not go as planned; of a hundred workers nobody reads more.
fn shard_line(change: &v1::ShardChange) -> Option<String> {
    use v1::shard::State;
    let word = match change.state() {
        State::Failed => "failed",
        State::Yielded => "gave its share up",
        State::Unspecified
        | State::Pending
        | State::Assigned
        | State::Accepted
        | State::Running
        | State::Done => return None,
    };
    Some(format!("{} {word}{}", bare(&change.node), reason(&change.reason)))
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
    fn the_bar_is_full_only_at_the_end() {
        assert_eq!((steps(0.0), steps(0.5), steps(1.0), steps(7.0), steps(-1.0)), (0, 500, 1000, 1000, 0));
    }

    #[test]
    fn a_closed_loop_has_no_target_rate() {
        let load = v1::LoadProgress { sent_rate: Some(10.0), ..v1::LoadProgress::default() };
        let progress =
            v1::Progress { kind: Some(v1::progress::Kind::HttpLoad(load)), ..v1::Progress::default() };
        assert!(progress_text(&progress, Paint(false)).contains(" 10/s "));
    }

    #[test]
    fn steps_on_the_way_are_not_told() {
        let mut change = v1::ShardChange { node: "nodes/w2".into(), ..v1::ShardChange::default() };
        change.set_state(v1::shard::State::Accepted);
        assert_eq!(shard_line(&change), None);
        change.set_state(v1::shard::State::Yielded);
        change.reason = "worker lost".into();
        assert_eq!(shard_line(&change).unwrap(), "w2 gave its share up: worker lost");
    }
}
