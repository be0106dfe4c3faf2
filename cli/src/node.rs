//! `shanty node …`: masters, workers and sentinels.
//!
//! In: names. Out: tables; workers out of service and back.
//! Tests: below, and `cli/tests/dev.rs`.

use crate::client::{bare, request_id};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::grid::{Grid, Tone};
use crate::quantity;
use crate::screen::Paint;
use shanty_proto::v1;
use std::time::Duration;
use v1::node::{Role, State};

/// What to do with nodes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all nodes
    List,
    /// Show a node
    Get {
        /// The node
        name: String,
    },
    /// Give a worker no new work; what it does goes on
    Cordon {
        /// The worker
        name: String,
    },
    /// Take a cordon back
    Uncordon {
        /// The worker
        name: String,
    },
    /// Cordon a worker and hand its work to the others
    Drain {
        /// The worker
        name: String,
    },
}

/// Does it.
///
/// # Errors
/// Says what could not be done.
pub(crate) async fn run(verb: Verb, cx: &Context) -> Result<Exit, Error> {
    match verb {
        Verb::List => {
            let all = fetch_all(cx).await?;
            cx.print(&all, |all| table(&all.nodes, cx.screen.out))?;
        }
        Verb::Get { name } => {
            let request = v1::GetNodeRequest { name: name.clone() };
            let node = cx
                .client
                .ask(&format!("get node {name}"), |link| {
                    let request = request.clone();
                    async move { link.nodes().get_node(request).await }
                })
                .await?;
            cx.print(&node, |node| one(node, cx.screen.out))?;
        }
        Verb::Cordon { name } => {
            let request = v1::CordonNodeRequest { name: name.clone(), request_id: request_id() };
            let node = cx
                .client
                .ask(&format!("cordon {name}"), |link| {
                    let request = request.clone();
                    async move { link.nodes().cordon_node(request).await }
                })
                .await?;
            cx.print(&node, told)?;
        }
        Verb::Uncordon { name } => {
            let request = v1::UncordonNodeRequest { name: name.clone(), request_id: request_id() };
            let node = cx
                .client
                .ask(&format!("uncordon {name}"), |link| {
                    let request = request.clone();
                    async move { link.nodes().uncordon_node(request).await }
                })
                .await?;
            cx.print(&node, told)?;
        }
        Verb::Drain { name } => {
            let request = v1::DrainNodeRequest { name: name.clone(), request_id: request_id() };
            let node = cx
                .client
                .ask(&format!("drain {name}"), |link| {
                    let request = request.clone();
                    async move { link.nodes().drain_node(request).await }
                })
                .await?;
            cx.print(&node, told)?;
        }
    }
    Ok(Exit::Done)
}

/// All nodes.
pub(crate) async fn fetch_all(cx: &Context) -> Result<v1::ListNodesResponse, Error> {
    let mut all = v1::ListNodesResponse::default();
    loop {
        let request = v1::ListNodesRequest { page_size: 1000, page_token: all.next_page_token.clone() };
        let page = cx
            .client
            .ask("list nodes", |link| {
                let request = request.clone();
                async move { link.nodes().list_nodes(request).await }
            })
            .await?;
        all.nodes.extend(page.nodes);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// Number of workers that the leader counts as ready, asked once; 0 when nobody answers within a second.
pub(crate) async fn workers_ready(cx: &Context) -> usize {
    let asked = async {
        let link = cx.client.link().await.ok()?;
        let request = v1::ListNodesRequest { page_size: 1000, ..v1::ListNodesRequest::default() };
        link.nodes().list_nodes(request).await.ok()
    };
    let Ok(Some(nodes)) = tokio::time::timeout(Duration::from_secs(1), asked).await else { return 0 };
    let nodes = nodes.into_inner().nodes;
    nodes.iter().filter(|n| n.role() == Role::Worker && n.state() == State::Ready).count()
}

fn told(node: &v1::Node) -> String {
    format!("{}: {}", bare(&node.name), node.state().as_str_name())
}

fn role(node: &v1::Node) -> &'static str {
    match node.role() {
        Role::Master if node.leader => "master (leader)",
        Role::Master => "master",
        Role::Worker => "worker",
        Role::Sentinel => "sentinel",
        Role::Unspecified => "",
    }
}

fn state_tone(state: State) -> Tone {
    match state {
        State::Ready => Tone::Good,
        State::Cordoned | State::Draining => Tone::Warn,
        State::Away => Tone::Bad,
        State::Unspecified => Tone::Plain,
    }
}

fn table(nodes: &[v1::Node], paint: Paint) -> String {
    if nodes.is_empty() {
        return "no nodes".to_owned();
    }
    let now = shanty_rt::clock::unix_ms();
    let headings = [
        "NODE", "ROLE", "STATE", ">WORK", ">SCORE", ">CORES", ">CPU", ">MEMORY", "HEARD", "ADDRESS",
        "VERSION",
    ];
    let mut grid = Grid::new(&headings, paint);
    for node in nodes {
        let work = match (node.attempts, node.slots) {
            (Some(attempts), Some(slots)) => format!("{attempts}/{slots}"),
            _ => String::new(),
        };
        let figure =
            |pick: fn(&v1::Telemetry) -> String| node.telemetry.as_ref().map(pick).unwrap_or_default();
        let score = if node.role() == Role::Worker { format!("{:.2}", node.score) } else { String::new() };
        grid.toned([
            (bare(&node.name).to_owned(), Tone::Plain),
            (role(node).to_owned(), Tone::Plain),
            (node.state().as_str_name().to_owned(), state_tone(node.state())),
            (work, Tone::Plain),
            (score, Tone::Plain),
            (figure(|t| format!("{:.1}", t.cores)), Tone::Plain),
            (figure(|t| format!("{:.0} %", t.cpu_percent)), Tone::Plain),
            (figure(|t| quantity::bytes(t.process_memory_bytes)), Tone::Plain),
            (quantity::ago(node.heartbeat_time.as_ref(), now), Tone::Dim),
            (node.address.clone(), Tone::Plain),
            (node.version.clone(), Tone::Dim),
        ]);
    }
    grid.render(0)
}

fn one(node: &v1::Node, paint: Paint) -> String {
    let mut lines =
        vec![format!("{}  {}  {}", paint.strong(bare(&node.name)), role(node), node.state().as_str_name())];
    let mut line = |label: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {}  {value}", paint.dim(&format!("{label:<11}"))));
        }
    };
    line("address", node.address.clone());
    line("version", node.version.clone());
    line("incarnation", node.incarnation.clone());
    line("heard", quantity::ago(node.heartbeat_time.as_ref(), shanty_rt::clock::unix_ms()));
    line("kinds", node.kinds.join(", "));
    let mut labels: Vec<_> = node.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    labels.sort();
    line("labels", labels.join(", "));
    if node.role() == Role::Worker {
        line("work", format!("{} of {} slots", node.attempts(), node.slots()));
        line("score", format!("{:.3}", node.score));
        line("clock", format!("{:+.3} ms against the leader's", node.clock_offset_ms));
    }
    if let Some(t) = &node.telemetry {
        line("processor", format!("{:.1} cores, {:.0} % in use", t.cores, t.cpu_percent));
        line(
            "memory",
            format!(
                "{} of {} in use, {} by the worker",
                quantity::bytes(t.memory_used_bytes),
                quantity::bytes(t.memory_total_bytes),
                quantity::bytes(t.process_memory_bytes)
            ),
        );
        line("lateness", format!("{} ms at the 99th percentile", quantity::millis(t.lateness_p99_ms)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_has_no_score_and_the_leader_is_marked() {
        let master = v1::Node {
            name: "nodes/m1".into(),
            role: Role::Master.into(),
            state: State::Ready.into(),
            leader: true,
            ..v1::Node::default()
        };
        let worker = v1::Node {
            name: "nodes/w1".into(),
            role: Role::Worker.into(),
            state: State::Cordoned.into(),
            slots: Some(16),
            attempts: Some(0),
            score: 1.5,
            ..v1::Node::default()
        };
        let text = table(&[master, worker], Paint(false));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].contains("master (leader)") && !lines[1].contains("0.00"), "{text}");
        assert!(
            lines[2].contains("0/16") && lines[2].contains("1.50") && lines[2].contains("CORDONED"),
            "{text}"
        );
    }
}
