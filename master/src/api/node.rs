//! NodeService.

use super::page;
use super::request;
use super::status;
use super::{Api, encode};
use crate::runtime::{Answer, Ask, RequestKey};
use shanty_model::id::{NodeId, nearest};
use shanty_proto::v1 as pb;
use shanty_rt::coord::{NodeInfo, Role};
use tonic::{Request, Response, Status};

fn node_id(name: &str) -> Result<NodeId, Status> {
    name.parse()
        .map_err(|error: shanty_model::id::InvalidId| status::invalid_field("name", error.to_string()))
}

impl Api {
    /// All nodes by name: workers as the leader knows them, masters and sentinels as they are registered.
    pub(super) async fn nodes(&self) -> Result<Vec<pb::Node>, Status> {
        let workers = self.core()?.look(|engine, now| engine.workers(now)).await?;
        let mut nodes: Vec<pb::Node> = workers
            .iter()
            .map(|(worker, attempts, score, present)| encode::worker(worker, *attempts, *score, *present))
            .collect();
        let members = self.members.borrow().clone();
        let leader = self.leadership.borrow().leader.as_ref().map(|leader| leader.node.clone());
        let registered = members.masters.values().chain(members.sentinels.values());
        nodes.extend(registered.map(|info| registered_node(info, leader.as_ref())));
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    async fn node(&self, id: &NodeId) -> Result<pb::Node, Status> {
        let nodes = self.nodes().await?;
        let name = id.resource();
        match nodes.iter().find(|node| node.name == name) {
            Some(node) => Ok(node.clone()),
            None => {
                let known = nodes.iter().filter_map(|node| node.name.strip_prefix("nodes/"));
                let near: Vec<String> = nearest(id.as_str(), known).into_iter().map(str::to_owned).collect();
                Err(status::not_found("node", id.as_str(), &near))
            }
        }
    }

    async fn ask_node(&self, key: Option<RequestKey>, ask: Ask) -> Result<Response<pb::Node>, Status> {
        match self.core()?.ask(key, ask).await? {
            Answer::Node(node) => Ok(Response::new(self.node(&node).await?)),
            Answer::Run(_) | Answer::Job(_) => Err(Status::internal("the answer is not a node")),
        }
    }
}

fn registered_node(info: &NodeInfo, leader: Option<&NodeId>) -> pb::Node {
    let role = match info.role {
        Role::Master => pb::node::Role::Master,
        Role::Worker => pb::node::Role::Worker,
        Role::Sentinel => pb::node::Role::Sentinel,
    };
    pb::Node {
        name: info.node.resource(),
        role: role.into(),
        state: pb::node::State::Ready.into(),
        leader: leader == Some(&info.node),
        address: info.address.clone(),
        version: info.version.clone(),
        incarnation: info.incarnation.clone(),
        ..pb::Node::default()
    }
}

#[tonic::async_trait]
impl pb::node_service_server::NodeService for Api {
    async fn list_nodes(
        &self,
        request: Request<pb::ListNodesRequest>,
    ) -> Result<Response<pb::ListNodesResponse>, Status> {
        let pb::ListNodesRequest { page_size, page_token } = request.into_inner();
        let size = page::size(page_size);
        let after: Option<NodeId> = page::cursor(&page_token)?;
        let after = after.map(|node| node.resource());
        let all = self.nodes().await?.into_iter();
        let wanted = all.filter(|node| after.as_ref().is_none_or(|after| node.name > *after));
        let nodes: Vec<pb::Node> = wanted.take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
        let next_page_token = page::next(&nodes, size, |last| last.name.clone());
        Ok(Response::new(pb::ListNodesResponse { nodes, next_page_token }))
    }

    async fn get_node(&self, request: Request<pb::GetNodeRequest>) -> Result<Response<pb::Node>, Status> {
        let pb::GetNodeRequest { name } = request.into_inner();
        Ok(Response::new(self.node(&node_id(&name)?).await?))
    }

    async fn cordon_node(
        &self,
        request: Request<pb::CordonNodeRequest>,
    ) -> Result<Response<pb::Node>, Status> {
        let pb::CordonNodeRequest { name, request_id } = request.into_inner();
        let node = node_id(&name)?;
        let same = pb::CordonNodeRequest { name, request_id: String::new() };
        let key = request::key(&request_id, "CordonNode", &same)?;
        self.ask_node(key, Ask::Cordon(node, true)).await
    }

    async fn uncordon_node(
        &self,
        request: Request<pb::UncordonNodeRequest>,
    ) -> Result<Response<pb::Node>, Status> {
        let pb::UncordonNodeRequest { name, request_id } = request.into_inner();
        let node = node_id(&name)?;
        let same = pb::UncordonNodeRequest { name, request_id: String::new() };
        let key = request::key(&request_id, "UncordonNode", &same)?;
        self.ask_node(key, Ask::Cordon(node, false)).await
    }

    async fn drain_node(&self, request: Request<pb::DrainNodeRequest>) -> Result<Response<pb::Node>, Status> {
        let pb::DrainNodeRequest { name, request_id } = request.into_inner();
        let node = node_id(&name)?;
        let same = pb::DrainNodeRequest { name, request_id: String::new() };
        let key = request::key(&request_id, "DrainNode", &same)?;
        self.ask_node(key, Ask::Drain(node)).await
    }
}
