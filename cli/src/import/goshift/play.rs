//! Runs of imported jobs, one after the other, told in goshift's words; each task's state goes back into its table.
//!
//! In: tasks. Out: lines as goshift logs them; `task_status` 2 while a task runs, then 4, 5 or 3.
//! Never: begins the next task after an interruption.
//! Tests: below, and `cli/tests/sync.rs`.

use super::table::{Status, TaskTable};
use super::translate::Task;
use crate::client::{bare, request_id};
use crate::context::{Context, interrupted};
use crate::error::Error;
use crate::exit::Exit;
use crate::run::{Followed, View, fetch_shards, follow};
use shanty_proto::v1;
use std::time::Duration;
use v1::run::State;

/// Runs all of them. The exit code is that of the first that did not succeed.
///
/// # Errors
/// When the cluster or the task table cannot be reached.
pub(super) async fn all(cx: &Context, tasks: &[Task], table: &mut TaskTable) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    for task in tasks {
        table.put_status(&task.id, Status::Running).await?;
        let ended = tokio::select! {
            ended = one(cx, task) => ended,
            () = interrupted() => {
                cx.screen.say(&format!("task {} goes on in the cluster; its task_status stays 2", task.id));
                return Err(Error::Interrupted);
            }
        };
        let (status, one) = match &ended {
            Ok((state, exit)) => (status_of(*state), *exit),
            Err(_) => (Status::Failed, Exit::Failed),
        };
        table.put_status(&task.id, status).await?;
        ended?;
        if exit == Exit::Done {
            exit = one;
        }
    }
    Ok(exit)
}

fn status_of(state: State) -> Status {
    match state {
        State::Succeeded => Status::Success,
        State::Cancelled => Status::Cancelled,
        State::Unspecified
        | State::Pending
        | State::Running
        | State::Cancelling
        | State::Failed
        | State::TimedOut
        | State::Lost => Status::Failed,
    }
}

async fn one(cx: &Context, task: &Task) -> Result<(State, Exit), Error> {
    let request = v1::RunJobRequest { name: task.job.name.clone(), request_id: request_id() };
    let run = cx
        .client
        .ask_to_start(&format!("run job {}", task.job.name), |link| {
            let request = request.clone();
            async move { link.jobs().run_job(request).await }
        })
        .await?;
    let name = bare(&run.name).to_owned();
    cx.screen.say(&format!("run taskMeta is {} as {name}", task.id));
    let mut view = View::told_by(cx.screen, finished);
    let Followed { run, report } = follow(cx, &name, Duration::from_secs(1), 0, &mut view).await?;
    let shards = fetch_shards(cx, &name).await?;
    let total = match report.as_ref().and_then(|report| report.kind.as_ref()) {
        Some(v1::report::Kind::DbSync(sync)) => {
            for worker in &sync.workers {
                cx.screen.say(&format!("workerid {} executedJobs:{}", bare(&worker.node), worker.shards));
            }
            sync.rows
        }
        Some(v1::report::Kind::HttpLoad(_)) | None => 0,
    };
    for shard in &shards.shards {
        cx.screen.say(&task_index(shard));
    }
    cx.screen.say(&format!("{}  totalSyncNum {total}", task.line));
    Ok((run.state(), Exit::of_run(&run, report.as_ref())))
}

/// `[finished process is 3/8,unfinished is 5/8]`, over the shards found so far.
fn finished(progress: &v1::Progress) -> Option<String> {
    let Some(v1::progress::Kind::DbSync(sync)) = &progress.kind else { return None };
    let (done, all) = sync.tables.iter().fold((0_u32, 0_u32), |(done, all), table| {
        (done.saturating_add(table.done()), all.saturating_add(table.shards()))
    });
    (all > 0).then(|| {
        format!("[finished process is {done}/{all},unfinished is {}/{all}]", all.saturating_sub(done))
    })
}

/// `taskIndex:3 (copy orders 3),wid:w1,status:4`.
fn task_index(shard: &v1::Shard) -> String {
    use v1::shard::State as Shard;
    let status = match shard.state() {
        Shard::Done => 4,
        Shard::Failed => 5,
        Shard::Yielded => 3,
        Shard::Running | Shard::Accepted | Shard::Assigned => 2,
        Shard::Pending | Shard::Unspecified => 1,
    };
    format!("taskIndex:{} ({}),wid:{},status:{status}", shard.index, shard.title, bare(&shard.node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_goshift() {
        let table = |done, shards| v1::SyncTableProgress {
            done: Some(done),
            shards: Some(shards),
            ..v1::SyncTableProgress::default()
        };
        let progress = |tables| v1::Progress {
            kind: Some(v1::progress::Kind::DbSync(v1::SyncProgress {
                tables,
                ..v1::SyncProgress::default()
            })),
            ..v1::Progress::default()
        };
        assert_eq!(
            finished(&progress(vec![table(196, 200)])).unwrap(),
            "[finished process is 196/200,unfinished is 4/200]"
        );
        assert_eq!(finished(&progress(vec![])), None);
        let mut shard = v1::Shard {
            index: 3,
            node: "nodes/w1".into(),
            title: "copy orders 2".into(),
            ..v1::Shard::default()
        };
        shard.set_state(v1::shard::State::Done);
        assert_eq!(task_index(&shard), "taskIndex:3 (copy orders 2),wid:w1,status:4");
    }

    #[test]
    fn every_end_has_a_state_of_goshift() {
        assert_eq!(status_of(State::Succeeded) as u8, 4);
        assert_eq!(status_of(State::Cancelled) as u8, 3);
        assert_eq!(status_of(State::Lost) as u8, 5);
        assert_eq!(Status::Running as u8, 2);
    }
}
