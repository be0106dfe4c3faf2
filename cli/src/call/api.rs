//! `shanty api …`: what can be called.
//!
//! In: nothing, or a symbol. Out: names, or .proto text with comments.
//! Tests: `cli/tests/call.rs`.

use super::describe;
use super::reflect::Reflection;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// What to show.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List services and their methods
    List,
    /// Show a service, method, message or enum with its comments
    Describe {
        /// Its name; the package may be left out: RunService, HttpLoadSpec, Run.State
        symbol: String,
    },
}

/// Shows it.
///
/// # Errors
/// When the server does not answer or the symbol is unknown.
pub(crate) async fn run(verb: Verb, cx: &Context) -> Result<Exit, Error> {
    let link = cx.client.link().await?;
    let mut reflection = Reflection::new(link.channel, link.addr, Vec::new());
    match verb {
        Verb::List => {
            let mut lines = Vec::new();
            for name in reflection.services().await? {
                lines.push(cx.screen.out.strong(&name));
                // A service may be announced whose description a server does not hand out (its own reflection).
                let service = match reflection.service(&name).await {
                    Ok(service) => service,
                    Err(Error::Wrong { .. }) => continue,
                    Err(error) => return Err(error),
                };
                lines.extend(service.methods().map(|method| {
                    let summary = describe::first_comment_line(&method);
                    let flow = if method.is_server_streaming() { "  (stream)" } else { "" };
                    format!("  {:<20} {}", method.name(), cx.screen.out.dim(&format!("{summary}{flow}")))
                }));
            }
            cx.screen.data(&lines.join("\n"))?;
        }
        Verb::Describe { symbol } => {
            let text = describe_symbol(&mut reflection, symbol.trim_start_matches('.')).await?;
            cx.screen.data(&text)?;
        }
    }
    Ok(Exit::Done)
}

async fn describe_symbol(reflection: &mut Reflection, symbol: &str) -> Result<String, Error> {
    // As it stands first; then in the packages of the services, so that a short name will do.
    let mut candidates = vec![symbol.to_owned()];
    for service in reflection.services().await? {
        if let Some((package, _)) = service.rsplit_once('.') {
            let full = format!("{package}.{symbol}");
            if !candidates.contains(&full) {
                candidates.push(full);
            }
        }
    }
    let mut first_error = None;
    for name in candidates {
        match reflection.symbol(&name).await {
            Ok(pool) => {
                if let Some(text) = describe::symbol(&pool, &name) {
                    return Ok(text);
                }
            }
            Err(error @ Error::Wrong { .. }) => {
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    let unknown =
        || Error::wrong(format!("nothing is called {symbol}"), "see what there is: shanty api list");
    Err(first_error.unwrap_or_else(unknown))
}
