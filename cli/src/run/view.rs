//! What a watch shows while a run goes on: a bar on a terminal, a line a second elsewhere, JSON lines when
//! asked for.
//!
//! In: events. Out: standard error (standard output for JSON).
//! Never: asks the cluster.
//! Tests: below.

use super::progress::{TABLES, elapsed, progress_text, table_lines};
use crate::client::bare;
use crate::error::Error;
use crate::json::{self, Layout};
use crate::quantity;
use crate::screen::{Output, Paint, Screen};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shanty_proto::v1;
use std::time::Duration;
use v1::run_event::Event;

/// Steps of the bar.
const STEPS: u64 = 1000;

/// What a watch shows.
pub(crate) struct View {
    screen: Screen,
    bars: Option<Bars>,
    began: Option<prost_types::Timestamp>,
    /// Progress in other words than this program's own, and what was said last.
    told_by: Option<(Words, String)>,
}

/// Progress in words; none when there is nothing to say.
type Words = fn(&v1::Progress) -> Option<String>;

/// The bar of the run, and below it a line for each table at work.
#[derive(Debug, Clone)]
struct Bars {
    all: MultiProgress,
    run: ProgressBar,
    tables: Vec<ProgressBar>,
}

impl Bars {
    fn new(colours: bool) -> Bars {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let run = all.add(ProgressBar::new(STEPS));
        let template =
            if colours { "  {bar:10.cyan/black.bright} {wide_msg}" } else { "  {bar:10} {wide_msg}" };
        // A template that does not parse leaves the default bar, which shows the same.
        if let Ok(style) = ProgressStyle::with_template(template) {
            run.set_style(style.progress_chars("━╸━"));
        }
        Bars { all, run, tables: Vec::new() }
    }

    fn show(&mut self, progress: &v1::Progress, paint: Paint) {
        self.run.set_position(steps(progress.fraction()));
        self.run.set_message(progress_text(progress, paint));
        let lines = table_lines(progress, paint);
        while self.tables.len() < lines.len().min(TABLES) {
            let line = self.all.add(ProgressBar::new(1));
            if let Ok(style) = ProgressStyle::with_template("           {wide_msg}") {
                line.set_style(style);
            }
            self.tables.push(line);
        }
        for line in self.tables.drain(lines.len()..) {
            self.all.remove(&line);
        }
        for (line, text) in self.tables.iter().zip(lines) {
            line.set_message(text);
        }
    }

    fn clear(self) {
        for line in self.tables {
            line.finish_and_clear();
        }
        self.run.finish_and_clear();
    }
}

impl View {
    /// A view for this screen.
    pub(crate) fn new(screen: Screen) -> View {
        let bars = (screen.live && screen.output == Output::Table).then(|| Bars::new(screen.err.0));
        View { screen, bars, began: None, told_by: None }
    }

    /// A view without a bar that says progress in words of its own, each time they change.
    pub(crate) fn told_by(screen: Screen, words: Words) -> View {
        View { screen, bars: None, began: None, told_by: Some((words, String::new())) }
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
                    && self.bars.is_some()
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
        Teller { screen: self.screen, all: self.bars.as_ref().map(|bars| bars.all.clone()) }
    }

    /// Shows that the stream is lost and being looked for.
    pub(crate) fn waiting(&self, lost: Duration) {
        if let Some(bars) = &self.bars {
            bars.run.set_message(format!("connection lost, trying again ({})", quantity::time(lost)));
        }
    }

    /// Takes the bar away.
    pub(crate) fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
    }

    fn progress(&mut self, progress: &v1::Progress) {
        let paint = self.screen.err;
        if let Some((words, last)) = &mut self.told_by {
            if let Some(text) = words(progress).filter(|text| text != last) {
                self.screen.say(&text);
                *last = text;
            }
            return;
        }
        match &mut self.bars {
            Some(bars) => bars.show(progress, paint),
            None => {
                self.screen.say(&progress_text(progress, paint));
                for line in table_lines(progress, paint) {
                    self.screen.say(&line);
                }
            }
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
    all: Option<MultiProgress>,
}

impl Teller {
    /// Says a line.
    pub(crate) fn say(&self, text: &str) {
        match &self.all {
            Some(all) => all.suspend(|| self.screen.say(text)),
            None => self.screen.say(text),
        }
    }
}

fn steps(fraction: f64) -> u64 {
    // Tenths of a percent by comparison: no cast that could lose a sign.
    (0..STEPS).take_while(|step| (*step as f64 + 0.5) / STEPS as f64 <= fraction).count() as u64
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
    fn the_bar_is_full_only_at_the_end() {
        assert_eq!((steps(0.0), steps(0.5), steps(1.0), steps(7.0), steps(-1.0)), (0, 500, 1000, 1000, 0));
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
