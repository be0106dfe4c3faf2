//! A client of the public API that takes requests as people type them: JSON, as grpcurl does.
//!
//! In: JSON and names. Out: the API's messages. Never: retries by itself, so that a test sees every failure.

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};
use serde_json::Value;
use shanty_proto::v1;
use shanty_proto::v1::cluster_service_client::ClusterServiceClient;
use shanty_proto::v1::job_service_client::JobServiceClient;
use shanty_proto::v1::node_service_client::NodeServiceClient;
use shanty_proto::v1::run_service_client::RunServiceClient;
use shanty_rt::tls::{self, Credentials};
use std::sync::LazyLock;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(pool);

fn pool() -> DescriptorPool {
    DescriptorPool::decode(shanty_proto::PUBLIC_DESCRIPTORS).expect("descriptors")
}

/// A message of `shanty.v1` from its JSON.
///
/// # Panics
/// When the JSON does not fit the message.
#[must_use]
pub fn message<M: prost::Message + Default>(name: &str, json: &Value) -> M {
    let Some(descriptor) = POOL.get_message_by_name(&format!("shanty.v1.{name}")) else {
        panic!("no message shanty.v1.{name}");
    };
    let dynamic = match DynamicMessage::deserialize(descriptor, json) {
        Ok(dynamic) => dynamic,
        Err(error) => panic!("{name}: {error}: {json}"),
    };
    match dynamic.transcode_to() {
        Ok(message) => message,
        Err(error) => panic!("{}: {error}", dynamic.descriptor().full_name()),
    }
}

/// A message of `shanty.v1` as the JSON that grpcurl would print.
#[must_use]
pub fn json<M: prost::Message>(name: &str, message: &M) -> Value {
    let descriptor = POOL.get_message_by_name(&format!("shanty.v1.{name}"));
    let dynamic =
        descriptor.and_then(|found| DynamicMessage::decode(found, message.encode_to_vec().as_slice()).ok());
    serde_json::to_value(dynamic).unwrap_or(Value::Null)
}

/// Connections to one master.
#[derive(Debug, Clone)]
pub struct Client {
    /// Runs.
    pub runs: RunServiceClient<Channel>,
    /// Jobs.
    pub jobs: JobServiceClient<Channel>,
    /// Nodes.
    pub nodes: NodeServiceClient<Channel>,
    /// The cluster.
    pub cluster: ClusterServiceClient<Channel>,
    /// For other services.
    pub channel: Channel,
}

impl Client {
    /// A client that connects when it is first used.
    ///
    /// # Panics
    /// When the address cannot be one.
    #[must_use]
    pub fn new(address: &str) -> Client {
        Client::with(address, None)
    }

    /// The same with certificates, where the master speaks TLS.
    ///
    /// # Panics
    /// When the address cannot be one.
    #[must_use]
    pub fn with(address: &str, credentials: Option<&Credentials>) -> Client {
        let endpoint = tls::endpoint(address, credentials)
            .expect("an address")
            .connect_timeout(Duration::from_secs(1))
            .timeout(Duration::from_secs(90));
        let channel = tls::connect_lazy(&endpoint, credentials);
        Client {
            runs: RunServiceClient::new(channel.clone()),
            jobs: JobServiceClient::new(channel.clone()),
            nodes: NodeServiceClient::new(channel.clone()),
            cluster: ClusterServiceClient::new(channel.clone()),
            channel,
        }
    }

    /// StartRun with this JSON.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn start(&self, request: &Value) -> Result<v1::Run, Status> {
        let request: v1::StartRunRequest = message("StartRunRequest", request);
        Ok(self.runs.clone().start_run(request).await?.into_inner())
    }

    /// GetRun.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn run(&self, name: &str) -> Result<v1::Run, Status> {
        Ok(self.runs.clone().get_run(v1::GetRunRequest { name: name.to_owned() }).await?.into_inner())
    }

    /// WaitRun for at most a minute.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn wait(&self, name: &str) -> Result<v1::Run, Status> {
        let timeout = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let request = v1::WaitRunRequest { name: name.to_owned(), timeout };
        Ok(self.runs.clone().wait_run(request).await?.into_inner())
    }

    /// WatchRun.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn watch(&self, request: &Value) -> Result<Streaming<v1::RunEvent>, Status> {
        let request: v1::WatchRunRequest = message("WatchRunRequest", request);
        Ok(self.runs.clone().watch_run(request).await?.into_inner())
    }

    /// ChangeRun to another rate.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn change_rate(&self, name: &str, rate: f64) -> Result<v1::Run, Status> {
        let change = v1::change_run_request::Change::HttpLoad(v1::HttpLoadChange { rate });
        let request =
            v1::ChangeRunRequest { name: name.to_owned(), change: Some(change), request_id: String::new() };
        Ok(self.runs.clone().change_run(request).await?.into_inner())
    }

    /// CancelRun.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn cancel(&self, name: &str) -> Result<v1::Run, Status> {
        let request = v1::CancelRunRequest { name: name.to_owned(), request_id: String::new() };
        Ok(self.runs.clone().cancel_run(request).await?.into_inner())
    }

    /// GetReport of a load run.
    ///
    /// # Errors
    /// As the API answers; INTERNAL when it is no load run's.
    pub async fn load_report(&self, name: &str) -> Result<v1::HttpLoadReport, Status> {
        let request = v1::GetReportRequest { name: name.to_owned() };
        match self.runs.clone().get_report(request).await?.into_inner().kind {
            Some(v1::report::Kind::HttpLoad(report)) => Ok(report),
            Some(v1::report::Kind::DbSync(_)) | None => {
                Err(Status::internal("it is no report of a load run"))
            }
        }
    }

    /// GetReport of a sync.
    ///
    /// # Errors
    /// As the API answers; INTERNAL when it is no sync's.
    pub async fn sync_report(&self, name: &str) -> Result<v1::DbSyncReport, Status> {
        let request = v1::GetReportRequest { name: name.to_owned() };
        match self.runs.clone().get_report(request).await?.into_inner().kind {
            Some(v1::report::Kind::DbSync(report)) => Ok(report),
            _ => Err(Status::internal("the report is no sync's")),
        }
    }

    /// ChangeRun of a sync.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn change_sync(&self, name: &str, change: v1::DbSyncChange) -> Result<v1::Run, Status> {
        let change = Some(v1::change_run_request::Change::DbSync(change));
        let request = v1::ChangeRunRequest { name: name.to_owned(), change, request_id: String::new() };
        Ok(self.runs.clone().change_run(request).await?.into_inner())
    }

    /// ListShards, the first thousand.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn shards(&self, name: &str) -> Result<Vec<v1::Shard>, Status> {
        let request = v1::ListShardsRequest { name: name.to_owned(), page_size: 1000, ..Default::default() };
        Ok(self.runs.clone().list_shards(request).await?.into_inner().shards)
    }

    /// ListNodes.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn list_nodes(&self) -> Result<Vec<v1::Node>, Status> {
        Ok(self.nodes.clone().list_nodes(v1::ListNodesRequest::default()).await?.into_inner().nodes)
    }

    /// GetCluster.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn get_cluster(&self) -> Result<v1::Cluster, Status> {
        Ok(self.cluster.clone().get_cluster(v1::GetClusterRequest {}).await?.into_inner())
    }
}
