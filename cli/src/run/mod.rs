//! `shanty run …`: one file per verb that is more than a call.
//!
//! | file | holds |
//! |---|---|
//! | `spec` | flags or a file → `JobSpec` |
//! | `start` | start, then watch |
//! | `follow` | the stream, resumed when it breaks |
//! | `view` | what a watch shows while it goes on |
//! | `progress` | progress as text |
//! | `change` | what may change on the way |
//! | `show` | tables of runs and shards |

mod change;
mod follow;
mod progress;
mod show;
mod spec;
mod start;
mod view;

pub(crate) use change::change_rate;
pub(crate) use follow::{Followed, follow};
pub(crate) use progress::elapsed;
pub(crate) use show::{share, state_tone, what};
pub(crate) use spec::{SpecArgs, read_text};
pub(crate) use start::{started, submit, watch_to_end};
pub(crate) use view::View;

use crate::client::request_id;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::quantity;
use crate::report;
use shanty_proto::v1;
use std::time::Duration;

/// What to do with runs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Start a run and watch it to its end
    Start(Box<start::StartArgs>),
    /// Follow a run to its end
    Watch {
        /// The run, for example adhoc.1
        name: String,
        /// How often progress is shown
        #[arg(long, value_parser = quantity::duration, value_name = "TIME", default_value = "1s")]
        interval: Duration,
        /// Show only what happened after this event
        #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
        after: u32,
    },
    /// Wait until a run has ended; exit 4 when --timeout is over first
    Wait {
        /// The run
        name: String,
    },
    /// List runs, newest first
    List {
        /// Only runs in this state, for example RUNNING
        #[arg(long)]
        state: Option<String>,
        /// Only runs of this job
        #[arg(long)]
        job: Option<String>,
        /// Most runs to list
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show a run as it stands now
    Get {
        /// The run
        name: String,
    },
    /// Change a run while it goes on
    Change(change::ChangeArgs),
    /// Ask a run to stop
    Cancel {
        /// The run
        name: String,
    },
    /// Show the report of a run: final when it has ended, else the figures so far
    Report {
        /// The run
        name: String,
    },
    /// List the shards of a run
    Shards {
        /// The run
        name: String,
    },
}

/// Does it.
///
/// # Errors
/// Says what could not be done.
pub(crate) async fn run(verb: Verb, cx: &Context) -> Result<Exit, Error> {
    match verb {
        Verb::Start(args) => start::start(*args, cx).await,
        Verb::Watch { name, interval, after } => watch_to_end(cx, &name, interval, after).await,
        Verb::Wait { name } => start::wait(&name, cx).await,
        Verb::List { state, job, limit } => list(cx, filter(state, job), limit).await,
        Verb::Get { name } => get(cx, &name).await,
        Verb::Change(args) => change::run(args, cx).await,
        Verb::Cancel { name } => cancel(cx, &name).await,
        Verb::Report { name } => print_report(cx, &name).await,
        Verb::Shards { name } => shards(cx, &name).await,
    }
}

fn filter(state: Option<String>, job: Option<String>) -> String {
    let state = state.map(|s| format!("state={}", s.to_ascii_uppercase()));
    let job = job.map(|j| format!("job={j}"));
    state.into_iter().chain(job).collect::<Vec<_>>().join(" AND ")
}

async fn list(cx: &Context, filter: String, limit: u32) -> Result<Exit, Error> {
    let mut all = v1::ListRunsResponse::default();
    loop {
        let left = limit.saturating_sub(u32::try_from(all.runs.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let request = v1::ListRunsRequest {
            page_size: left.min(1000),
            page_token: all.next_page_token.clone(),
            filter: filter.clone(),
        };
        let page = cx
            .client
            .ask("list runs", |link| {
                let request = request.clone();
                async move { link.runs().list_runs(request).await }
            })
            .await?;
        all.runs.extend(page.runs);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    cx.print(&all, |all| show::runs(&all.runs, cx))?;
    Ok(Exit::Done)
}

/// The run as it stands now.
pub(crate) async fn fetch(cx: &Context, name: &str) -> Result<v1::Run, Error> {
    let request = v1::GetRunRequest { name: name.to_owned() };
    cx.client
        .ask(&format!("get run {name}"), |link| {
            let request = request.clone();
            async move { link.runs().get_run(request).await }
        })
        .await
}

/// Its report as it stands now.
pub(crate) async fn fetch_report(cx: &Context, name: &str) -> Result<v1::Report, Error> {
    let request = v1::GetReportRequest { name: name.to_owned() };
    cx.client
        .ask(&format!("get the report of {name}"), |link| {
            let request = request.clone();
            async move { link.runs().get_report(request).await }
        })
        .await
}

async fn get(cx: &Context, name: &str) -> Result<Exit, Error> {
    let run = fetch(cx, name).await?;
    cx.print(&run, |run| show::run(run, cx))?;
    Ok(Exit::Done)
}

async fn cancel(cx: &Context, name: &str) -> Result<Exit, Error> {
    let request = v1::CancelRunRequest { name: name.to_owned(), request_id: request_id() };
    let run = cx
        .client
        .ask(&format!("cancel run {name}"), |link| {
            let request = request.clone();
            async move { link.runs().cancel_run(request).await }
        })
        .await?;
    cx.print(&run, |run| format!("{}: {}", crate::client::bare(&run.name), run.state().as_str_name()))?;
    Ok(Exit::Done)
}

async fn print_report(cx: &Context, name: &str) -> Result<Exit, Error> {
    let report = fetch_report(cx, name).await?;
    cx.print(&report, |report| report::render(report, None, cx.screen.out))?;
    Ok(Exit::Done)
}

/// All shards of a run.
pub(crate) async fn fetch_shards(cx: &Context, name: &str) -> Result<v1::ListShardsResponse, Error> {
    let mut all = v1::ListShardsResponse::default();
    loop {
        let request = v1::ListShardsRequest {
            name: name.to_owned(),
            page_size: 1000,
            page_token: all.next_page_token.clone(),
        };
        let page = cx
            .client
            .ask(&format!("list the shards of {name}"), |link| {
                let request = request.clone();
                async move { link.runs().list_shards(request).await }
            })
            .await?;
        all.shards.extend(page.shards);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            return Ok(all);
        }
    }
}

async fn shards(cx: &Context, name: &str) -> Result<Exit, Error> {
    let all = fetch_shards(cx, name).await?;
    cx.print(&all, |all| show::shards(&all.shards, cx))?;
    Ok(Exit::Done)
}
