//! ConnectionService: what workers say of the databases that they reach by name.
//!
//! In: names. Out: which worker has which, and what each found when it tried one. The engine has no part in it:
//! the sessions of attached workers are asked.
//! Never: a URL; no master knows one.
//! Tests: below; with workers in the tests crate.

use super::Api;
use super::page;
use super::status;
use crate::registry::Finding;
use futures_util::future::join_all;
use shanty_model::id::{ConnectionId, InvalidId, NodeId, nearest};
use shanty_proto::v1 as pb;
use shanty_rt::wire::time::pb_duration;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Longest wait for workers, which give up themselves after 8 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connections of each worker.
type Known = BTreeMap<NodeId, Vec<String>>;

/// The names with their workers.
fn by_name(known: &Known) -> BTreeMap<&str, Vec<&NodeId>> {
    let mut names: BTreeMap<&str, Vec<&NodeId>> = BTreeMap::new();
    for (node, connections) in known {
        for name in connections.iter().collect::<BTreeSet<_>>() {
            names.entry(name).or_default().push(node);
        }
    }
    names
}

/// The workers that are asked about a connection.
fn asked(known: &Known, connection: &ConnectionId, only: Option<&NodeId>) -> Result<Vec<NodeId>, Status> {
    let names = by_name(known);
    let Some(having) = names.get(connection.as_str()) else {
        let near = nearest(connection.as_str(), names.keys().copied());
        let near: Vec<String> = near.into_iter().map(str::to_owned).collect();
        return Err(status::not_found("connection", connection.as_str(), &near));
    };
    let Some(only) = only else {
        return Ok(having.iter().map(|node| (*node).clone()).collect());
    };
    if !known.contains_key(only) {
        let near = nearest(only.as_str(), known.keys().map(NodeId::as_str));
        let near: Vec<String> = near.into_iter().map(str::to_owned).collect();
        return Err(status::not_found("worker", only.as_str(), &near));
    }
    if !having.contains(&only) {
        let others: Vec<&str> = having.iter().map(|node| node.as_str()).collect();
        return Err(status::precondition(
            "NO_SUCH_CONNECTION",
            &format!(
                "worker `{only}` has no connection `{connection}`; these have it: {}",
                others.join(", ")
            ),
        ));
    }
    Ok(vec![only.clone()])
}

fn check(node: &NodeId, found: Result<Finding, String>) -> pb::ConnectionCheck {
    let Finding { server, endpoint, latency, error, warnings } =
        found.unwrap_or_else(|error| Finding { error: Some(error), ..Finding::default() });
    pb::ConnectionCheck {
        node: node.resource(),
        ok: error.is_none(),
        server,
        endpoint,
        latency: latency.map(pb_duration),
        error: error.unwrap_or_default(),
        warnings,
    }
}

fn field<'a>(name: &'a str) -> impl Fn(InvalidId) -> Status + 'a {
    move |error| status::invalid_field(name, error.to_string())
}

#[tonic::async_trait]
impl pb::connection_service_server::ConnectionService for Api {
    async fn list_connections(
        &self,
        request: Request<pb::ListConnectionsRequest>,
    ) -> Result<Response<pb::ListConnectionsResponse>, Status> {
        let pb::ListConnectionsRequest { page_size, page_token } = request.into_inner();
        let size = page::size(page_size);
        let after: Option<ConnectionId> = page::cursor(&page_token)?;
        let known = self.registry.connections();
        let names = by_name(&known).into_iter();
        let wanted = names.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after.as_str()));
        let connections: Vec<pb::Connection> = wanted
            .take(usize::try_from(size).unwrap_or(usize::MAX))
            .map(|(name, nodes)| pb::Connection {
                name: format!("connections/{name}"),
                nodes: nodes.into_iter().map(NodeId::resource).collect(),
            })
            .collect();
        let next_page_token = page::next(&connections, size, |last| last.name.clone());
        Ok(Response::new(pb::ListConnectionsResponse { connections, next_page_token }))
    }

    async fn check_connection(
        &self,
        request: Request<pb::CheckConnectionRequest>,
    ) -> Result<Response<pb::CheckConnectionResponse>, Status> {
        let pb::CheckConnectionRequest { name, node } = request.into_inner();
        let connection: ConnectionId = name.parse().map_err(field("name"))?;
        let only: Option<NodeId> = match node.as_str() {
            "" => None,
            node => Some(node.parse().map_err(field("node"))?),
        };
        let nodes = asked(&self.registry.connections(), &connection, only.as_ref())?;
        let answers = nodes
            .iter()
            .map(async |node| check(node, self.registry.check(node, connection.as_str(), PATIENCE).await));
        let checks = join_all(answers).await;
        Ok(Response::new(pb::CheckConnectionResponse { checks }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn known() -> Known {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        BTreeMap::from([
            (node("w1"), names(&["shop_mysql", "dw"])),
            (node("w2"), names(&["dw"])),
            (node("w3"), names(&[])),
        ])
    }

    fn ask(connection: &str, only: Option<&str>) -> Result<Vec<NodeId>, Status> {
        asked(&known(), &connection.parse().unwrap(), only.map(node).as_ref())
    }

    #[test]
    fn all_workers_that_have_it_are_asked_or_the_one_that_was_named() {
        assert_eq!(ask("dw", None).unwrap(), [node("w1"), node("w2")]);
        assert_eq!(ask("connections/dw", Some("w2")).unwrap(), [node("w2")]);
    }

    #[test]
    fn a_name_that_nobody_has_is_told_with_the_nearest() {
        let unknown = ask("shop_mysq", None).unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        assert!(unknown.message().contains("did you mean shop_mysql?"), "{unknown}");
        assert_eq!(ask("dw", Some("w9")).unwrap_err().code(), Code::NotFound);
        let elsewhere = ask("shop_mysql", Some("w2")).unwrap_err();
        assert_eq!(elsewhere.code(), Code::FailedPrecondition);
        assert!(elsewhere.message().contains("these have it: w1"), "{elsewhere}");
    }

    #[test]
    fn silence_is_an_answer_too() {
        let silent = check(&node("w1"), Err("the worker did not answer".into()));
        assert!(!silent.ok && silent.error.contains("did not answer"));
        assert_eq!(silent.node, "nodes/w1");
    }
}
