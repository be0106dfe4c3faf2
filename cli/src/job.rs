//! `shanty job …`: definitions that are kept.
//!
//! In: flags or a file. Out: jobs, and runs of them.
//! Tests: `cli/tests/dev.rs`.

use crate::client::{bare, request_id};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::grid::Grid;
use crate::quantity;
use crate::run::{SpecArgs, started, what};
use shanty_proto::v1;
use std::time::Duration;

/// What to do with jobs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Keep a new job
    Create(Box<Definition>),
    /// Show a job
    Get {
        /// The job
        name: String,
    },
    /// List jobs
    List,
    /// Replace a job's definition; runs under way keep theirs
    Update(Box<Definition>),
    /// Remove a job; its runs stay
    Delete {
        /// The job
        name: String,
    },
    /// Start a run of a job and watch it to its end
    Run {
        /// The job
        name: String,
        /// Return at once with the run's name
        #[arg(long, short)]
        detach: bool,
        /// How often progress is shown
        #[arg(long, value_parser = quantity::duration, value_name = "TIME", default_value = "1s")]
        interval: Duration,
    },
}

/// A job on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Definition {
    /// The job: 1 to 63 of a-z, 0-9, - and _, beginning with a letter
    name: String,
    /// A title for people
    #[arg(long, default_value = "")]
    title: String,
    /// A label KEY=VALUE of your own; repeat for more
    #[arg(long, value_parser = quantity::label, value_name = "LABEL")]
    label: Vec<(String, String)>,
    /// Fail when the job has changed since this etag was read
    #[arg(long, default_value = "")]
    etag: String,
    /// Only check
    #[arg(long)]
    validate_only: bool,
    /// What its runs do.
    #[command(flatten)]
    spec: SpecArgs,
}

impl Definition {
    fn job(self) -> Result<v1::Job, Error> {
        Ok(v1::Job {
            name: self.name,
            title: self.title,
            spec: Some(self.spec.spec()?),
            labels: self.label.into_iter().collect(),
            etag: self.etag,
            ..v1::Job::default()
        })
    }
}

/// Does it.
///
/// # Errors
/// Says what could not be done.
pub(crate) async fn run(verb: Verb, cx: &Context) -> Result<Exit, Error> {
    match verb {
        Verb::Create(definition) => create(*definition, cx).await,
        Verb::Update(definition) => update(*definition, cx).await,
        Verb::Get { name } => get(&name, cx).await,
        Verb::List => list(cx).await,
        Verb::Delete { name } => delete(&name, cx).await,
        Verb::Run { name, detach, interval } => {
            let request = v1::RunJobRequest { name: name.clone(), request_id: request_id() };
            let run = cx
                .client
                .ask_to_start(&format!("run job {name}"), |link| {
                    let request = request.clone();
                    async move { link.jobs().run_job(request).await }
                })
                .await?;
            started(cx, &run, detach, interval).await
        }
    }
}

async fn create(definition: Definition, cx: &Context) -> Result<Exit, Error> {
    let validate_only = definition.validate_only;
    let name = definition.name.clone();
    let request = v1::CreateJobRequest {
        job_id: bare(&name).to_owned(),
        job: Some(definition.job()?),
        request_id: request_id(),
        validate_only,
    };
    let job = cx
        .client
        .ask(&format!("create job {name}"), |link| {
            let request = request.clone();
            async move { link.jobs().create_job(request).await }
        })
        .await?;
    cx.print(&job, |job| told(job, validate_only, "created"))?;
    Ok(Exit::Done)
}

async fn update(definition: Definition, cx: &Context) -> Result<Exit, Error> {
    let validate_only = definition.validate_only;
    let name = definition.name.clone();
    let request =
        v1::UpdateJobRequest { job: Some(definition.job()?), request_id: request_id(), validate_only };
    let job = cx
        .client
        .ask(&format!("update job {name}"), |link| {
            let request = request.clone();
            async move { link.jobs().update_job(request).await }
        })
        .await?;
    cx.print(&job, |job| told(job, validate_only, "updated"))?;
    Ok(Exit::Done)
}

fn told(job: &v1::Job, validate_only: bool, word: &str) -> String {
    if validate_only {
        return "the job is good; nothing was kept".to_owned();
    }
    format!("{} {word}: {}", bare(&job.name), what(job.spec.as_ref()))
}

async fn get(name: &str, cx: &Context) -> Result<Exit, Error> {
    let request = v1::GetJobRequest { name: name.to_owned() };
    let job = cx
        .client
        .ask(&format!("get job {name}"), |link| {
            let request = request.clone();
            async move { link.jobs().get_job(request).await }
        })
        .await?;
    cx.print(&job, |job| table(std::slice::from_ref(job), cx))?;
    Ok(Exit::Done)
}

async fn list(cx: &Context) -> Result<Exit, Error> {
    let mut all = v1::ListJobsResponse::default();
    loop {
        let request = v1::ListJobsRequest { page_size: 1000, page_token: all.next_page_token.clone() };
        let page = cx
            .client
            .ask("list jobs", |link| {
                let request = request.clone();
                async move { link.jobs().list_jobs(request).await }
            })
            .await?;
        all.jobs.extend(page.jobs);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    cx.print(&all, |all| table(&all.jobs, cx))?;
    Ok(Exit::Done)
}

fn table(jobs: &[v1::Job], cx: &Context) -> String {
    if jobs.is_empty() {
        return format!(
            "no jobs; keep one: {}",
            cx.command("job create NAME --url URL --rate 100 --duration 10s")
        );
    }
    let now = shanty_rt::clock::unix_ms();
    let mut grid = Grid::new(&["JOB", ">RUNS", "CHANGED", "WHAT", "TITLE", "ETAG"], cx.screen.out);
    for job in jobs {
        grid.row([
            bare(&job.name).to_owned(),
            job.last_run.to_string(),
            quantity::ago(job.update_time.as_ref(), now),
            crate::report::cut(&what(job.spec.as_ref()), 44),
            crate::report::cut(&job.title, 24),
            job.etag.clone(),
        ]);
    }
    grid.render(0)
}

async fn delete(name: &str, cx: &Context) -> Result<Exit, Error> {
    let request =
        v1::DeleteJobRequest { name: name.to_owned(), etag: String::new(), request_id: request_id() };
    let job = cx
        .client
        .ask(&format!("delete job {name}"), |link| {
            let request = request.clone();
            async move { link.jobs().delete_job(request).await }
        })
        .await?;
    cx.print(&job, |job| format!("{} deleted; its runs stay", bare(&job.name)))?;
    Ok(Exit::Done)
}
