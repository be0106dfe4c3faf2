//! Jobs in the cluster: all of them, or none.
//!
//! All are checked by the cluster first; when one cannot be kept after that, those kept before it are removed again.
//! In: tasks. Out: jobs. Never: a job that was there before is removed.
//! Tests: `cli/tests/sync.rs`.

use super::translate::Task;
use crate::client::request_id;
use crate::context::Context;
use crate::error::Error;
use shanty_proto::v1;

/// Makes the jobs; with `update` those that are there are replaced.
///
/// # Errors
/// All refusals at once; no job was made then.
pub(super) async fn all(cx: &Context, tasks: &[Task], update: bool) -> Result<(), Error> {
    let mut present = Vec::new();
    let mut refused = Vec::new();
    for task in tasks {
        let there = exists(cx, &task.job.name).await?;
        if there && !update {
            refused.push(format!(
                "task {}: job {} is there already; --update replaces it",
                task.id, task.job.name
            ));
        } else if let Err(error) = put(cx, task, there, true).await {
            match error {
                Error::Status { status, .. } => {
                    refused.push(format!("task {}: {}", task.id, status.message()))
                }
                other => return Err(other),
            }
        }
        present.push(there);
    }
    if !refused.is_empty() {
        return Err(Error::wrong(
            format!("the cluster does not take every job:\n  {}", refused.join("\n  ")),
            "correct the rows, or import the others with --id; no job was made",
        ));
    }
    let mut made: Vec<&Task> = Vec::new();
    for (task, there) in tasks.iter().zip(present) {
        if let Err(error) = put(cx, task, there, false).await {
            for done in made {
                // What cannot be removed is told by the error of the first that could not be made.
                let _left = remove(cx, &done.job.name).await;
            }
            return Err(error);
        }
        if !there {
            made.push(task);
        }
    }
    Ok(())
}

async fn exists(cx: &Context, name: &str) -> Result<bool, Error> {
    let request = v1::GetJobRequest { name: name.to_owned() };
    let asked = cx
        .client
        .ask(&format!("get job {name}"), |link| {
            let request = request.clone();
            async move { link.jobs().get_job(request).await }
        })
        .await;
    match asked {
        Ok(_) => Ok(true),
        Err(Error::Status { status, .. }) if status.code() == tonic::Code::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

async fn put(cx: &Context, task: &Task, there: bool, validate_only: bool) -> Result<(), Error> {
    let job = Some(task.job.clone());
    let name = &task.job.name;
    if there {
        let request = v1::UpdateJobRequest { job, request_id: request_id(), validate_only };
        let doing = format!("update job {name}");
        let ask = cx.client.ask(&doing, |link| {
            let request = request.clone();
            async move { link.jobs().update_job(request).await }
        });
        return ask.await.map(drop);
    }
    let request = v1::CreateJobRequest { job_id: name.clone(), job, request_id: request_id(), validate_only };
    let doing = format!("create job {name}");
    let ask = cx.client.ask(&doing, |link| {
        let request = request.clone();
        async move { link.jobs().create_job(request).await }
    });
    ask.await.map(drop)
}

async fn remove(cx: &Context, name: &str) -> Result<(), Error> {
    let request =
        v1::DeleteJobRequest { name: name.to_owned(), etag: String::new(), request_id: request_id() };
    let doing = format!("delete job {name}");
    let ask = cx.client.ask(&doing, |link| {
        let request = request.clone();
        async move { link.jobs().delete_job(request).await }
    });
    ask.await.map(drop)
}
