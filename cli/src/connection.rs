//! `shanty connection …`: the databases that workers reach by name.
//!
//! In: names. Out: tables; exit 1 when a worker could not connect.
//! Never: a URL with a password; the workers keep them to themselves.
//! Tests: below, and `cli/tests/sync.rs`.

use crate::client::bare;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::grid::{Grid, Tone};
use crate::quantity;
use crate::screen::Paint;
use shanty_proto::v1;

/// What to do with connections.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List connections and the workers that have them
    List,
    /// Let workers connect, and show what they found; exit 1 when one could not
    Check {
        /// The connection
        name: String,
        /// Only this worker; default all that have it
        #[arg(long, default_value = "", hide_default_value = true)]
        node: String,
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
            cx.print(&all, |all| table(&all.connections, cx.screen.out))?;
            Ok(Exit::Done)
        }
        Verb::Check { name, node } => {
            let request = v1::CheckConnectionRequest { name: name.clone(), node };
            let answer = cx
                .client
                .ask(&format!("check connection {name}"), |link| {
                    let request = request.clone();
                    async move { link.connections().check_connection(request).await }
                })
                .await?;
            cx.print(&answer, |answer| checks(&answer.checks, cx.screen.out))?;
            Ok(if answer.checks.iter().all(|check| check.ok) { Exit::Done } else { Exit::Failed })
        }
    }
}

async fn fetch_all(cx: &Context) -> Result<v1::ListConnectionsResponse, Error> {
    let mut all = v1::ListConnectionsResponse::default();
    loop {
        let request = v1::ListConnectionsRequest { page_size: 1000, page_token: all.next_page_token.clone() };
        let page = cx
            .client
            .ask("list connections", |link| {
                let request = request.clone();
                async move { link.connections().list_connections(request).await }
            })
            .await?;
        all.connections.extend(page.connections);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            return Ok(all);
        }
    }
}

fn table(connections: &[v1::Connection], paint: Paint) -> String {
    if connections.is_empty() {
        return "no connections; add [worker.connections.NAME] with a url to the configuration of workers"
            .to_owned();
    }
    let mut grid = Grid::new(&["CONNECTION", ">WORKERS", ""], paint);
    for connection in connections {
        let nodes: Vec<&str> = connection.nodes.iter().map(|node| bare(node)).collect();
        let named = crate::report::cut(&nodes.join(", "), 60);
        grid.row([bare(&connection.name), &nodes.len().to_string(), &named]);
    }
    grid.render(0)
}

/// A line per worker; what is wrong or slow stands below its line, whole.
fn checks(checks: &[v1::ConnectionCheck], paint: Paint) -> String {
    let mut grid = Grid::new(&["WORKER", "", ">LATENCY", "SERVER", "ENDPOINT"], paint);
    for check in checks {
        let (mark, tone) = match (check.ok, check.warnings.is_empty()) {
            (false, _) => ("✗", Tone::Bad),
            (true, false) => ("!", Tone::Warn),
            (true, true) => ("✓", Tone::Good),
        };
        let latency = check.latency.as_ref().map(quantity::std_duration);
        let latency = latency.map(|l| format!("{} ms", quantity::millis(l.as_secs_f64() * 1e3)));
        grid.toned([
            (bare(&check.node).to_owned(), Tone::Plain),
            (mark.to_owned(), tone),
            (latency.unwrap_or_default(), Tone::Plain),
            (check.server.clone(), Tone::Plain),
            (check.endpoint.clone(), Tone::Dim),
        ]);
    }
    let mut lines = vec![grid.render(0)];
    let errors =
        checks.iter().filter(|check| !check.ok).map(|check| (bare(&check.node), check.error.as_str()));
    let warnings = checks
        .iter()
        .flat_map(|check| check.warnings.iter().map(|warning| (bare(&check.node), warning.as_str())));
    lines.extend(alike(errors).map(|(text, nodes)| format!("{} {nodes}: {text}", paint.bad("✗"))));
    lines.extend(alike(warnings).map(|(text, nodes)| format!("{} {nodes}: {text}", paint.warn("!"))));
    lines.join("\n")
}

/// Each text once, with the workers that say it: fifty of them mostly say the same.
fn alike<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> impl Iterator<Item = (&'a str, String)> {
    let mut texts: Vec<(&str, Vec<&str>)> = Vec::new();
    for (node, text) in said {
        match texts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, nodes)) => nodes.push(node),
            None => texts.push((text, vec![node])),
        }
    }
    texts.into_iter().map(|(text, nodes)| (text, crate::report::cut(&nodes.join(", "), 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_whole_below_the_table() {
        let good = v1::ConnectionCheck {
            node: "nodes/w1".into(),
            ok: true,
            server: "MariaDB 10.11".into(),
            endpoint: "mysql://db/shop".into(),
            latency: Some(prost_types::Duration { seconds: 0, nanos: 1_500_000 }),
            warnings: vec!["LOAD DATA LOCAL is off here".into()],
            ..v1::ConnectionCheck::default()
        };
        let error = "connection `shop` needs SHOP_PW, which this worker does not have; set it".repeat(2);
        let bad = v1::ConnectionCheck {
            node: "nodes/w2".into(),
            error: error.clone(),
            ..v1::ConnectionCheck::default()
        };
        let alike = v1::ConnectionCheck { node: "nodes/w3".into(), ..good.clone() };
        let text = checks(&[good, bad, alike], Paint(false));
        assert!(
            text.contains("! w1, w3: LOAD DATA LOCAL") && text.contains(&format!("✗ w2: {error}")),
            "{text}"
        );
        assert!(text.contains("1.50 ms") && text.contains("MariaDB 10.11"), "{text}");
    }

    #[test]
    fn workers_are_counted_and_named() {
        let connection = v1::Connection {
            name: "connections/shop".into(),
            nodes: vec!["nodes/w1".into(), "nodes/w2".into()],
        };
        let text = table(&[connection], Paint(false));
        assert!(text.contains("shop") && text.contains('2') && text.contains("w1, w2"), "{text}");
        assert!(table(&[], Paint(false)).contains("[worker.connections.NAME]"));
    }
}
