//! JobService.

use super::page;
use super::request;
use super::run::spec;
use super::status;
use super::{Api, encode};
use crate::engine::JobDraft;
use crate::runtime::{Answer, Ask, RequestKey};
use shanty_model::id::JobId;
use shanty_proto::v1 as pb;
use tonic::{Request, Response, Status};

/// The job that a name means.
pub(super) fn job_id(name: &str, field: &str) -> Result<JobId, Status> {
    name.parse().map_err(|error: shanty_model::id::InvalidId| status::invalid_field(field, error.to_string()))
}

fn draft(job: pb::Job) -> Result<JobDraft, Status> {
    let pb::Job { name: _, title, spec: wish, labels, etag: _, create_time: _, update_time: _, last_run: _ } =
        job;
    Ok(JobDraft { title, spec: spec(wish, "job.spec")?, labels: labels.into_iter().collect() })
}

impl Api {
    async fn ask_job(&self, key: Option<RequestKey>, ask: Ask) -> Result<Response<pb::Job>, Status> {
        match self.core()?.ask(key, ask).await? {
            Answer::Job(job) => Ok(Response::new(encode::job(&job))),
            Answer::Run(_) | Answer::Node(_) => Err(Status::internal("the answer is not a job")),
        }
    }
}

#[tonic::async_trait]
impl pb::job_service_server::JobService for Api {
    async fn create_job(&self, request: Request<pb::CreateJobRequest>) -> Result<Response<pb::Job>, Status> {
        let pb::CreateJobRequest { job_id: id, job, request_id, validate_only } = request.into_inner();
        let name = job_id(&id, "job_id")?;
        let same =
            pb::CreateJobRequest { job_id: id, job: job.clone(), request_id: String::new(), validate_only };
        let key = request::key(&request_id, "CreateJob", &same)?;
        let draft = draft(job.ok_or_else(|| status::invalid_field("job", "is mandatory"))?)?;
        if validate_only {
            self.core()?.look(move |engine, _| engine.check_draft(&name, &draft)).await??;
            return Ok(Response::new(same.job.unwrap_or_default()));
        }
        self.ask_job(key, Ask::CreateJob(name, draft)).await
    }

    async fn get_job(&self, request: Request<pb::GetJobRequest>) -> Result<Response<pb::Job>, Status> {
        let pb::GetJobRequest { name } = request.into_inner();
        let id = job_id(&name, "name")?;
        let job = self.core()?.look(move |engine, _| engine.live_job(&id).cloned()).await??;
        Ok(Response::new(encode::job(&job)))
    }

    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        let pb::ListJobsRequest { page_size, page_token } = request.into_inner();
        let size = page::size(page_size);
        let after: Option<JobId> = page::cursor(&page_token)?;
        let most = usize::try_from(size).unwrap_or(usize::MAX);
        let jobs = self
            .core()?
            .look(move |engine, _| engine.live_jobs(after.as_ref()).take(most).cloned().collect::<Vec<_>>())
            .await?;
        let next_page_token = page::next(&jobs, size, |last| last.id.to_string());
        Ok(Response::new(pb::ListJobsResponse {
            jobs: jobs.iter().map(encode::job).collect(),
            next_page_token,
        }))
    }

    async fn update_job(&self, request: Request<pb::UpdateJobRequest>) -> Result<Response<pb::Job>, Status> {
        let pb::UpdateJobRequest { job, request_id, validate_only } = request.into_inner();
        let same = pb::UpdateJobRequest { job: job.clone(), request_id: String::new(), validate_only };
        let key = request::key(&request_id, "UpdateJob", &same)?;
        let job = job.ok_or_else(|| status::invalid_field("job", "is mandatory"))?;
        let (name, etag) = (job_id(&job.name, "job.name")?, job.etag.clone());
        let draft = draft(job)?;
        if validate_only {
            self.core()?.look(move |engine, _| engine.check_draft(&name, &draft)).await??;
            return Ok(Response::new(same.job.unwrap_or_default()));
        }
        self.ask_job(key, Ask::UpdateJob(name, etag, draft)).await
    }

    async fn delete_job(&self, request: Request<pb::DeleteJobRequest>) -> Result<Response<pb::Job>, Status> {
        let pb::DeleteJobRequest { name, etag, request_id } = request.into_inner();
        let id = job_id(&name, "name")?;
        let same = pb::DeleteJobRequest { name, etag: etag.clone(), request_id: String::new() };
        let key = request::key(&request_id, "DeleteJob", &same)?;
        self.ask_job(key, Ask::DeleteJob(id, etag)).await
    }

    async fn run_job(&self, request: Request<pb::RunJobRequest>) -> Result<Response<pb::Run>, Status> {
        Ok(Response::new(self.run_job_now(request.into_inner()).await?))
    }
}
