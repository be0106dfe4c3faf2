//! `run change`: what may change while a run goes on.
//!
//! In: flags. Out: the run as it stands then.
//! Never: guesses the kind: the flags say it.
//! Tests: below, and `cli/tests/runs.rs`.

use crate::client::{bare, request_id};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::quantity;
use shanty_proto::v1;
use v1::change_run_request::Change;

/// Flags of `run change`.
#[derive(Debug, clap::Args)]
#[group(id = "changes", required = true, multiple = true, args = ["rate", "rows_per_second", "bytes_per_second", "workers"])]
pub(crate) struct ChangeArgs {
    /// The run
    name: String,
    /// Load: arrivals per second over all workers
    #[arg(long, value_parser = quantity::amount, value_name = "PER_SECOND")]
    #[arg(conflicts_with_all = ["rows_per_second", "bytes_per_second", "workers"])]
    #[arg(required_unless_present_any = ["rows_per_second", "bytes_per_second", "workers"])]
    rate: Option<f64>,
    /// Sync: most rows per second over all workers; 0 for no limit
    #[arg(long, value_parser = quantity::whole, value_name = "ROWS")]
    rows_per_second: Option<u32>,
    /// Sync: most bytes per second over all workers (20MiB); 0 for no limit
    #[arg(long, value_parser = quantity::size, value_name = "BYTES")]
    bytes_per_second: Option<i64>,
    /// Sync: most shards copied at once
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
}

impl ChangeArgs {
    fn change(&self) -> Change {
        match self.rate {
            Some(rate) => Change::HttpLoad(v1::HttpLoadChange { rate }),
            None => Change::DbSync(v1::DbSyncChange {
                rows_per_second: self.rows_per_second,
                bytes_per_second: self.bytes_per_second,
                workers: self.workers,
            }),
        }
    }
}

/// Changes a run.
///
/// # Errors
/// When it is refused.
pub(super) async fn run(args: ChangeArgs, cx: &Context) -> Result<Exit, Error> {
    let change = args.change();
    let run = ask(cx, &args.name, change).await?;
    cx.print(&run, |run| format!("{}: {} from now on", bare(&run.name), told(&change)))?;
    Ok(Exit::Done)
}

/// Changes the rate of a load test.
pub(crate) async fn change_rate(cx: &Context, name: &str, rate: f64) -> Result<v1::Run, Error> {
    ask(cx, name, Change::HttpLoad(v1::HttpLoadChange { rate })).await
}

async fn ask(cx: &Context, name: &str, change: Change) -> Result<v1::Run, Error> {
    let request =
        v1::ChangeRunRequest { name: name.to_owned(), change: Some(change), request_id: request_id() };
    cx.client
        .ask(&format!("change run {name}"), |link| {
            let request = request.clone();
            async move { link.runs().change_run(request).await }
        })
        .await
}

fn told(change: &Change) -> String {
    match change {
        Change::HttpLoad(load) => format!("{} arrivals per second", quantity::rate(load.rate)),
        Change::DbSync(sync) => {
            let limit = |value: i64, text: String, what: &str| match value {
                0 => format!("no limit of {what} per second"),
                _ => format!("at most {text} per second"),
            };
            let rows = sync.rows_per_second.map(i64::from);
            let parts = [
                rows.map(|rows| limit(rows, format!("{} rows", quantity::count(rows)), "rows")),
                sync.bytes_per_second.map(|bytes| limit(bytes, quantity::bytes(bytes), "bytes")),
                sync.workers.map(|workers| format!("{} at once", quantity::things(workers, "shard"))),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        change: ChangeArgs,
    }

    fn parsed(words: &[&str]) -> Result<Change, String> {
        let line = Line::try_parse_from([&["x", "adhoc.1"], words].concat());
        line.map(|line| line.change.change()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_say_the_kind() {
        assert_eq!(parsed(&["--rate=5k"]), Ok(Change::HttpLoad(v1::HttpLoadChange { rate: 5000.0 })));
        let sync = v1::DbSyncChange { rows_per_second: Some(0), workers: Some(8), bytes_per_second: None };
        assert_eq!(parsed(&["--rows-per-second=0", "--workers=8"]), Ok(Change::DbSync(sync)));
        assert!(parsed(&[]).unwrap_err().contains("--rate"));
        assert!(parsed(&["--rate=1", "--workers=8"]).unwrap_err().contains("cannot be used with"));
    }

    #[test]
    fn no_limit_is_said_in_words() {
        let text = |words: &[&str]| told(&parsed(words).unwrap());
        assert_eq!(text(&["--rows-per-second=0"]), "no limit of rows per second");
        assert_eq!(
            text(&["--rows-per-second=10k", "--bytes-per-second=20MiB", "--workers=1"]),
            "at most 10,000 rows per second, at most 20.0 MiB per second, 1 shard at once"
        );
    }
}
