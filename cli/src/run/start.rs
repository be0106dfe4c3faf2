//! `run start`, `run watch` and `run wait`: what they have in common is that a run's end is the exit code.
//!
//! In: flags. Out: a run in the cluster, its report on standard output, the exit code of its end.
//! Tests: `cli/tests/runs.rs`.

use super::{Followed, SpecArgs, View, fetch_report, follow};
use crate::client::{bare, passing, refusal, request_id};
use crate::context::{Context, interrupted};
use crate::error::Error;
use crate::exit::Exit;
use crate::screen::Output;
use crate::{quantity, report};
use shanty_proto::v1;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

/// Longest time that one WaitRun asks for; longer waits are several calls.
const ONE_WAIT: Duration = Duration::from_secs(60);

/// Flags of `run start`.
#[derive(Debug, clap::Args)]
pub(crate) struct StartArgs {
    /// What the run does.
    #[command(flatten)]
    spec: SpecArgs,
    /// Return at once with the run's name
    #[arg(long, short)]
    detach: bool,
    /// How often progress is shown
    #[arg(long, value_parser = quantity::duration, value_name = "TIME", default_value = "1s")]
    interval: Duration,
    /// A text of your own; a repeated start with the same one starts nothing more
    #[arg(long, value_name = "TEXT")]
    request_id: Option<String>,
    /// Only check the spec
    #[arg(long)]
    validate_only: bool,
}

/// Starts a run.
///
/// # Errors
/// When it is refused.
pub(super) async fn start(args: StartArgs, cx: &Context) -> Result<Exit, Error> {
    let request = v1::StartRunRequest {
        spec: Some(args.spec.spec()?),
        request_id: args.request_id.unwrap_or_else(request_id),
        validate_only: args.validate_only,
    };
    let run = submit(cx, request).await?;
    if args.validate_only {
        cx.print(&run, |_| "the spec is good; nothing was started".to_owned())?;
        return Ok(Exit::Done);
    }
    started(cx, &run, args.detach, args.interval).await
}

/// Starts a run with this request.
pub(crate) async fn submit(cx: &Context, request: v1::StartRunRequest) -> Result<v1::Run, Error> {
    cx.client
        .ask_to_start("start the run", |link| {
            let request = request.clone();
            async move { link.runs().start_run(request).await }
        })
        .await
}

/// What comes after a start: the run's name, or a watch to its end.
pub(crate) async fn started(
    cx: &Context,
    run: &v1::Run,
    detach: bool,
    interval: Duration,
) -> Result<Exit, Error> {
    let name = bare(&run.name).to_owned();
    if detach {
        cx.print(run, |_| name.clone())?;
        if cx.screen.output == Output::Table {
            let watch = cx.command(&format!("run watch {name}"));
            cx.screen.say(&cx.screen.err.dim(&format!("follow it: {watch}")));
        }
        return Ok(Exit::Done);
    }
    watch_to_end(cx, &name, interval, 0).await
}

/// Watches a run to its end, prints its report, and answers what its end means.
pub(crate) async fn watch_to_end(
    cx: &Context,
    name: &str,
    interval: Duration,
    after: u32,
) -> Result<Exit, Error> {
    let mut view = View::new(cx.screen);
    let followed = {
        let watch = follow(cx, name, interval, after, &mut view);
        tokio::select! {
            followed = watch => Some(followed),
            () = interrupted() => None,
        }
    };
    view.close();
    match followed {
        Some(followed) => {
            let Followed { run, report } = followed?;
            if cx.screen.output == Output::Table {
                let text = match &report {
                    Some(report) => report::render(report, Some(&run), cx.screen.out),
                    None => super::show::run(&run, cx),
                };
                cx.screen.data(&text)?;
            }
            Ok(Exit::of_run(&run, report.as_ref()))
        }
        None => {
            let err = cx.screen.err;
            cx.screen.say(&format!(
                "\nrun continues: {}; cancel with: {}",
                err.code(&cx.command(&format!("run watch {}", bare(name)))),
                err.code(&cx.command(&format!("run cancel {}", bare(name))))
            ));
            Err(Error::Interrupted)
        }
    }
}

/// Waits for the end of a run without showing anything on the way.
pub(super) async fn wait(name: &str, cx: &Context) -> Result<Exit, Error> {
    let began = Instant::now();
    let until = cx.client.timeout().map(|timeout| began + timeout);
    let still_running =
        || Error::StillRunning { run: name.to_owned(), waited: quantity::time(began.elapsed()) };
    let doing = format!("wait for run {name}");
    let mut link = cx.client.link().await?;
    let run = loop {
        let left = until.map_or(ONE_WAIT, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(still_running());
        }
        let timeout = left.min(ONE_WAIT);
        let request =
            v1::WaitRunRequest { name: name.to_owned(), timeout: Some(quantity::proto_duration(timeout)) };
        let mut runs = link.runs();
        // The server answers by itself; a second more is for the way.
        let asked = tokio::time::timeout(timeout + Duration::from_secs(1), runs.wait_run(request));
        let answer = tokio::select! {
            answer = asked => answer,
            () = interrupted() => return Err(Error::Interrupted),
        };
        match answer {
            Ok(Ok(run)) => break run.into_inner(),
            Err(_) => {}
            Ok(Err(status)) if status.code() == Code::DeadlineExceeded => {}
            Ok(Err(status)) if passing(&status) => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                match cx.client.link().await {
                    Ok(other) => link = other,
                    Err(error) if until.is_none() && began.elapsed() > super::follow::PATIENCE => {
                        return Err(error);
                    }
                    Err(_) => {}
                }
            }
            Ok(Err(status)) => return Err(refusal(&doing, &link.addr, status).await),
        }
    };
    let report = match run.state() {
        v1::run::State::Failed => Some(fetch_report(cx, name).await?),
        v1::run::State::Unspecified
        | v1::run::State::Pending
        | v1::run::State::Running
        | v1::run::State::Cancelling
        | v1::run::State::Succeeded
        | v1::run::State::Cancelled
        | v1::run::State::TimedOut
        | v1::run::State::Lost => None,
    };
    cx.print(&run, |run| {
        let reason =
            if run.state_reason.is_empty() { String::new() } else { format!(": {}", run.state_reason) };
        format!("{} {}{reason}", bare(&run.name), run.state().as_str_name())
    })?;
    Ok(Exit::of_run(&run, report.as_ref()))
}
