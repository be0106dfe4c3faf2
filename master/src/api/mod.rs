//! The API's door: gRPC in, asks and looks to the leading core, gRPC out.
//!
//! Each handler decodes, asks a handle, encodes. A master that does not lead hands the whole call to the
//! one that does (`forward`), so any master answers any call.
//!
//! | file | holds |
//! |---|---|
//! | `run`, `job`, `node`, `connection`, `cluster` | one service each |
//! | `watch` | streams of a run's events |
//! | `link` | the masters' end of the worker link |
//! | `failover` | leadership against the leader's will, past terms |
//! | `probe` | the masters' end of the sentinels' probes |
//! | `encode` | records as messages |
//! | `page` | page sizes, tokens, filters |
//! | `request` | request ids |
//! | `once` | request ids of what is done to the coordinator and not to the store |
//! | `forward` | a standby hands a call to the leader |
//! | `status` | the one map from errors to `tonic::Status` |

mod cluster;
mod connection;
mod encode;
mod failover;
mod forward;
mod job;
mod link;
mod node;
mod once;
mod page;
mod probe;
mod request;
mod run;
mod status;
mod watch;

pub use forward::Forward;
pub use link::{Link, LinkOptions};
pub use probe::Probe;

use crate::registry::Registry;
use crate::runtime::{CoreHandle, Error, Leading};
use crate::store::Store;
use shanty_model::id::NodeId;
use shanty_proto::v1 as pb;
use shanty_rt::coord::Coord;
use shanty_rt::tls::Credentials;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    /// This master.
    pub me: NodeId,
    /// Name of the cluster.
    pub cluster: String,
    /// Where the leading core is found.
    pub leading: Leading,
    /// The store, for what is history.
    pub store: Store,
    /// Attached workers.
    pub registry: Arc<Registry>,
    /// The coordinator, for its name.
    pub coord: Arc<dyn Coord>,
    /// Leadership as this master sees it.
    pub leadership: tokio::sync::watch::Receiver<crate::election::Leadership>,
    /// Registered nodes as this master sees them.
    pub members: tokio::sync::watch::Receiver<crate::election::Members>,
    /// This master's certificates, for their end.
    pub credentials: Option<Credentials>,
    /// What is the matter with the coordinator, if anything is.
    pub ailment: tokio::sync::watch::Receiver<Option<String>>,
    /// What the store forgot before this master fenced it, in words.
    pub set_back: tokio::sync::watch::Receiver<Option<String>>,
    /// Ends streams when the process does.
    pub stop: CancellationToken,
}

impl Api {
    fn core(&self) -> Result<CoreHandle, Error> {
        self.leading.core()
    }

    /// The public services.
    #[must_use]
    pub fn routes(self, link: Link, probe: Probe) -> Routes {
        let api = Arc::new(self);
        Routes::new(pb::run_service_server::RunServiceServer::from_arc(api.clone()))
            .add_service(pb::job_service_server::JobServiceServer::from_arc(api.clone()))
            .add_service(pb::node_service_server::NodeServiceServer::from_arc(api.clone()))
            .add_service(pb::connection_service_server::ConnectionServiceServer::from_arc(api.clone()))
            .add_service(pb::cluster_service_server::ClusterServiceServer::from_arc(api))
            .add_service(shanty_proto::internal::worker_link_server::WorkerLinkServer::new(link))
            .add_service(shanty_proto::internal::master_probe_server::MasterProbeServer::new(probe))
    }
}
