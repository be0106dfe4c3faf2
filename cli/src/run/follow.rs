//! The stream of a run, followed to its end over broken connections and changes of leader.
//!
//! In: a run's name. Out: every event to the view, once; then the run as it ended.
//! Never: prints by itself.
//! Tests: `cli/tests/runs.rs` breaks the stream on the way.

use super::View;
use crate::client::{Link, passing, refusal};
use crate::context::Context;
use crate::error::Error;
use crate::quantity;
use shanty_proto::v1;
use shanty_rt::backoff::Backoff;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};
use v1::run_event::Event;

/// How long a watch tries to get its stream back: several leases of a leader.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A run that was followed to its end.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The run as it ended.
    pub(crate) run: v1::Run,
    /// Its report.
    pub(crate) report: Option<v1::Report>,
}

/// Where one stream ended.
enum Stop {
    Done(Box<Followed>),
    Broke(Status),
    Failed(Error),
}

struct Cursor {
    after: u32,
    leader: Option<String>,
    /// Since when nothing has come.
    lost: Option<Instant>,
}

/// Follows a run to its end, beginning after event `after` (0: with a snapshot).
///
/// # Errors
/// When the run is unknown, or no stream came back for a minute.
pub(crate) async fn follow(
    cx: &Context,
    name: &str,
    interval: Duration,
    after: u32,
    view: &mut View,
) -> Result<Followed, Error> {
    let mut cursor = Cursor { after, leader: None, lost: None };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let mut link = cx.client.link().await?;
    cursor.leader = cx.client.leader().await;
    loop {
        let status = match stream(cx, &link, name, interval, &mut cursor, view).await {
            Stop::Done(followed) => return Ok(*followed),
            Stop::Failed(error) => return Err(error),
            Stop::Broke(status) if status.code() == Code::OutOfRange && cursor.after > 0 => {
                // The events after our place are not kept any more: a snapshot is next best.
                cursor.after = 0;
                continue;
            }
            Stop::Broke(status) if passing(&status) => status,
            Stop::Broke(status) => return Err(refusal(&doing(name), &link.addr, status).await),
        };
        let lost = *cursor.lost.get_or_insert_with(Instant::now);
        loop {
            if lost.elapsed() > PATIENCE {
                return Err(refusal(&doing(name), &link.addr, status).await);
            }
            view.waiting(lost.elapsed());
            tokio::time::sleep(backoff.next_wait().max(Duration::from_millis(50))).await;
            if let Ok(other) = cx.client.link().await {
                link = other;
                break;
            }
        }
    }
}

fn doing(name: &str) -> String {
    format!("watch run {name}")
}

async fn stream(
    cx: &Context,
    link: &Link,
    name: &str,
    interval: Duration,
    cursor: &mut Cursor,
    view: &mut View,
) -> Stop {
    let request = v1::WatchRunRequest {
        name: name.to_owned(),
        after_sequence: cursor.after,
        interval: Some(quantity::proto_duration(interval)),
        fail_on_error: false,
    };
    let mut events = match link.runs().watch_run(request).await {
        Ok(events) => events.into_inner(),
        Err(status) => return Stop::Broke(status),
    };
    loop {
        let event = match events.message().await {
            Ok(Some(event)) => event,
            Ok(None) => return Stop::Broke(Status::unavailable("the stream ended before the run did")),
            Err(status) => return Stop::Broke(status),
        };
        if let Some(lost) = cursor.lost.take() {
            let leader = cx.client.leader().await;
            let gap = gap(cursor.leader.as_deref(), leader.as_deref(), &link.addr, lost.elapsed());
            // Under the notes, past their column of times.
            view.note(&format!("{:10}{}", "", cx.screen.err.warn(&gap)));
            cursor.leader = leader.or(cursor.leader.take());
        }
        cursor.after = cursor.after.max(event.sequence);
        if let Err(error) = view.event(&event) {
            return Stop::Failed(error);
        }
        if let Some(Event::Done(done)) = event.event {
            let run = done.run.unwrap_or_default();
            return Stop::Done(Box::new(Followed { run, report: done.report }));
        }
    }
}

/// What a gap in the stream was, in words.
fn gap(before: Option<&str>, after: Option<&str>, addr: &str, lasted: Duration) -> String {
    let lasted = quantity::time(lasted);
    match (before, after) {
        (Some(before), Some(after)) if before != after => {
            format!("leader changed {before} → {after}, {lasted} without news")
        }
        (None, Some(after)) => format!("leader is {after} now, {lasted} without news"),
        _ => format!("connection to {addr} is back, {lasted} without news"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_names_the_leaders_when_they_differ() {
        let two = Duration::from_millis(2100);
        assert_eq!(gap(Some("m1"), Some("m2"), "h:1", two), "leader changed m1 → m2, 2.1 s without news");
        assert_eq!(gap(Some("m1"), Some("m1"), "h:1", two), "connection to h:1 is back, 2.1 s without news");
        assert_eq!(gap(None, None, "h:1", two), "connection to h:1 is back, 2.1 s without news");
    }
}
