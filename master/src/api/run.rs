//! RunService.

use super::page;
use super::request;
use super::status;
use super::watch::{self, Watch};
use super::{Api, encode};
use crate::engine::ShardView;
use crate::runtime::{Answer, Ask};
use crate::store::RunCursor;
use futures_util::stream::BoxStream;
use shanty_model::id::RunId;
use shanty_model::kind::Spec;
use shanty_model::violation::Violation;
use shanty_proto::v1 as pb;
use shanty_rt::wire;
use std::time::Duration;
use tonic::{Request, Response, Status};

type Events = BoxStream<'static, Result<pb::RunEvent, Status>>;

const WAIT_DEFAULT: Duration = Duration::from_secs(60);
const WAIT_MOST: Duration = Duration::from_secs(3600);

/// The run that a name means.
pub(super) fn run_id(name: &str) -> Result<RunId, Status> {
    name.parse()
        .map_err(|error: shanty_model::id::InvalidId| status::invalid_field("name", error.to_string()))
}

/// A spec from the wire, all violations under `prefix`.
pub(super) fn spec(spec: Option<pb::JobSpec>, prefix: &str) -> Result<Spec, Status> {
    wire::spec::decode(spec).map_err(|found| {
        let found: Vec<Violation> = found.into_iter().map(|v| v.under(prefix)).collect();
        status::invalid(&found)
    })
}

impl Api {
    /// A run as it is now, from the leading core or from history.
    pub(super) async fn show_run(&self, id: &RunId) -> Result<pb::Run, Status> {
        let live = id.clone();
        if let Some(view) = self.core()?.look(move |engine, now| engine.view(now, &live)).await? {
            return Ok(encode::run_view(&view));
        }
        self.show_ended_run(id).await
    }

    pub(super) async fn show_ended_run(&self, id: &RunId) -> Result<pb::Run, Status> {
        let Some(record) = self.store.run(id).await? else {
            return Err(self.no_such_run(id).await?);
        };
        let shards = ShardView::stored(&record, self.store.shards(id, None, u32::MAX).await?);
        Ok(encode::run(&record, &shards, None))
    }

    async fn no_such_run(&self, id: &RunId) -> Result<Status, Status> {
        let job = id.job.clone();
        let nearest = self
            .core()?
            .look(move |engine, _| match engine.live_job(&job) {
                Ok(record) if record.last_run > 0 => vec![format!("{job}.{}", record.last_run)],
                Ok(_) => Vec::new(),
                Err(crate::engine::Refused::NotFound { nearest, .. }) => nearest,
                Err(_) => Vec::new(),
            })
            .await?;
        Ok(status::not_found("run", &id.to_string(), &nearest))
    }

    async fn ask_run(&self, key: Option<crate::runtime::RequestKey>, ask: Ask) -> Result<RunId, Status> {
        match self.core()?.ask(key, ask).await? {
            Answer::Run(run) => Ok(run),
            Answer::Job(_) | Answer::Node(_) => Err(Status::internal("the answer is not a run")),
        }
    }

    async fn start(&self, request: pb::StartRunRequest) -> Result<RunId, Status> {
        let id = request.request_id.clone();
        let key = request::key(
            &id,
            "StartRun",
            &pb::StartRunRequest { request_id: String::new(), ..request.clone() },
        )?;
        self.ask_run(key, Ask::StartRun(spec(request.spec, "spec")?)).await
    }

    pub(super) async fn run_job_now(&self, request: pb::RunJobRequest) -> Result<pb::Run, Status> {
        let pb::RunJobRequest { name, request_id } = request;
        let job = super::job::job_id(&name, "name")?;
        let key =
            request::key(&request_id, "RunJob", &pb::RunJobRequest { name, request_id: String::new() })?;
        let run = self.ask_run(key, Ask::RunJob(job)).await?;
        self.show_run(&run).await
    }
}

#[tonic::async_trait]
impl pb::run_service_server::RunService for Api {
    type RunAndWatchStream = Events;
    type WatchRunStream = Events;

    async fn start_run(&self, request: Request<pb::StartRunRequest>) -> Result<Response<pb::Run>, Status> {
        let request = request.into_inner();
        if request.validate_only {
            let spec = spec(request.spec.clone(), "spec")?;
            self.core()?.look(move |engine, _| engine.check_spec(&spec)).await??;
            return Ok(Response::new(pb::Run { spec: request.spec, ..pb::Run::default() }));
        }
        let run = self.start(request).await?;
        Ok(Response::new(self.show_run(&run).await?))
    }

    async fn run_and_watch(
        &self,
        request: Request<pb::RunAndWatchRequest>,
    ) -> Result<Response<Self::RunAndWatchStream>, Status> {
        let pb::RunAndWatchRequest { spec, request_id, interval, cancel_on_disconnect, fail_on_error } =
            request.into_inner();
        let interval = watch::interval(interval)?;
        let run = self.start(pb::StartRunRequest { spec, request_id, validate_only: false }).await?;
        let watch = Watch { run, after_sequence: 0, interval, fail_on_error, cancel_on_disconnect };
        Ok(Response::new(self.watch(watch).await?))
    }

    async fn get_run(&self, request: Request<pb::GetRunRequest>) -> Result<Response<pb::Run>, Status> {
        let pb::GetRunRequest { name } = request.into_inner();
        Ok(Response::new(self.show_run(&run_id(&name)?).await?))
    }

    async fn list_runs(
        &self,
        request: Request<pb::ListRunsRequest>,
    ) -> Result<Response<pb::ListRunsResponse>, Status> {
        let pb::ListRunsRequest { page_size, page_token, filter } = request.into_inner();
        let size = page::size(page_size);
        let wanted = page::run_filter(&filter)?;
        let cursor = page::run_cursor(&page_token, &filter)?;
        let records = self.store.runs(&wanted, cursor.as_ref(), size).await?;
        let next_page_token = page::next(&records, size, |last| {
            page::run_token(&filter, &RunCursor { create_ms: last.create_ms, id: last.id.clone() })
        });
        let live = self.core()?.look(|engine, now| engine.views(now).collect::<Vec<_>>()).await?;
        let runs = records
            .iter()
            .map(|record| match live.iter().find(|view| view.record.id == record.id) {
                Some(view) => encode::run_view(view),
                None => encode::run(record, &[], None),
            })
            .collect();
        Ok(Response::new(pb::ListRunsResponse { runs, next_page_token }))
    }

    async fn watch_run(
        &self,
        request: Request<pb::WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let pb::WatchRunRequest { name, after_sequence, interval, fail_on_error } = request.into_inner();
        let interval = watch::interval(interval)?;
        let run = run_id(&name)?;
        let watch = Watch { run, after_sequence, interval, fail_on_error, cancel_on_disconnect: false };
        Ok(Response::new(self.watch(watch).await?))
    }

    async fn wait_run(&self, request: Request<pb::WaitRunRequest>) -> Result<Response<pb::Run>, Status> {
        let pb::WaitRunRequest { name, timeout } = request.into_inner();
        let run = run_id(&name)?;
        let timeout = match timeout.map(|given| wire::time::duration(&given)) {
            None => WAIT_DEFAULT,
            Some(Some(timeout)) if timeout <= WAIT_MOST => timeout,
            Some(_) => return Err(status::invalid_field("timeout", "must be 0s to 3600s")),
        };
        let Some(mut feed) = self.core()?.follow(&run).await? else {
            return Ok(Response::new(self.show_ended_run(&run).await?));
        };
        let ended = async {
            while !feed.view.borrow_and_update().record.state.is_terminal() {
                if feed.view.changed().await.is_err() {
                    break;
                }
            }
            feed.view.borrow().record.state.is_terminal()
        };
        match tokio::time::timeout(timeout, ended).await {
            Ok(true) => Ok(Response::new(self.show_ended_run(&run).await?)),
            Ok(false) => {
                Err(status::unavailable("NO_LEADER", "the leader changed while waiting: wait again"))
            }
            Err(_) => {
                Err(status::deadline(&format!("run `{run}` has not ended within {timeout:?}; it goes on")))
            }
        }
    }

    async fn cancel_run(&self, request: Request<pb::CancelRunRequest>) -> Result<Response<pb::Run>, Status> {
        let pb::CancelRunRequest { name, request_id } = request.into_inner();
        let run = run_id(&name)?;
        let same = pb::CancelRunRequest { name, request_id: String::new() };
        let key = request::key(&request_id, "CancelRun", &same)?;
        let ask = Ask::CancelRun(run.clone(), "cancelled by a user".to_owned());
        match self.core()?.ask(key, ask).await {
            Ok(_) => Ok(Response::new(self.show_run(&run).await?)),
            // A run that has ended already is answered as it is.
            Err(crate::runtime::Error::Refused(crate::engine::Refused::NotFound { .. })) => {
                Ok(Response::new(self.show_ended_run(&run).await?))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn change_run(&self, request: Request<pb::ChangeRunRequest>) -> Result<Response<pb::Run>, Status> {
        let pb::ChangeRunRequest { name, change, request_id } = request.into_inner();
        let run = run_id(&name)?;
        let same = pb::ChangeRunRequest { name, change, request_id: String::new() };
        let key = request::key(&request_id, "ChangeRun", &same)?;
        let change = wire::spec::decode_change(change).map_err(|found| status::invalid(&found))?;
        match self.ask_run(key, Ask::ChangeRun(run.clone(), change)).await {
            Ok(run) => Ok(Response::new(self.show_run(&run).await?)),
            Err(error) if error.code() == tonic::Code::NotFound => {
                let ended = self.show_ended_run(&run).await?;
                let state = ended.state().as_str_name();
                Err(crate::engine::Refused::Precondition {
                    reason: "RUN_NOT_RUNNING",
                    message: format!("run `{run}` is {state}; it can be changed while it is RUNNING"),
                }
                .into())
            }
            Err(error) => Err(error),
        }
    }

    async fn list_shards(
        &self,
        request: Request<pb::ListShardsRequest>,
    ) -> Result<Response<pb::ListShardsResponse>, Status> {
        let pb::ListShardsRequest { name, page_size, page_token } = request.into_inner();
        let run = run_id(&name)?;
        let size = page::size(page_size);
        let after: Option<u32> = page::cursor(&page_token)?;
        let live = run.clone();
        let all = match self.core()?.look(move |engine, now| engine.view(now, &live)).await? {
            Some(view) => view.shards,
            None => match self.store.run(&run).await? {
                Some(record) => ShardView::stored(&record, self.store.shards(&run, None, u32::MAX).await?),
                None => return Err(self.no_such_run(&run).await?),
            },
        };
        let wanted = all.into_iter().filter(|shard| after.is_none_or(|after| shard.record.id.index > after));
        let page: Vec<ShardView> = wanted.take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
        let next_page_token = page::next(&page, size, |last| last.record.id.index.to_string());
        let shards = page.iter().map(encode::shard).collect();
        Ok(Response::new(pb::ListShardsResponse { shards, next_page_token }))
    }

    async fn get_report(
        &self,
        request: Request<pb::GetReportRequest>,
    ) -> Result<Response<pb::Report>, Status> {
        let pb::GetReportRequest { name } = request.into_inner();
        let run = run_id(&name)?;
        let live = run.clone();
        if let Some(report) = self.core()?.look(move |engine, now| engine.report(now, &live)).await? {
            return Ok(Response::new(wire::report::encode(&run, false, &report)));
        }
        let Some(record) = self.store.run(&run).await? else {
            return Err(self.no_such_run(&run).await?);
        };
        match &record.report {
            Some(report) => Ok(Response::new(wire::report::encode(&run, true, report))),
            None => Ok(Response::new(pb::Report {
                run: run.resource(),
                r#final: record.state.is_terminal(),
                kind: None,
            })),
        }
    }
}
