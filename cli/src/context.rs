//! What every command has at hand: the way to the cluster and the screen.
//!
//! In: the global options. Out: [`Context`].
//! Tests: with the commands.

use crate::args::Global;
use crate::client::Client;
use crate::connect::Masters;
use crate::error::Error;
use crate::json::{self, Layout, Named};
use crate::screen::{Output, Screen};
use shanty_rt::tls;
use tokio::signal::unix::{SignalKind, signal};

/// The address of a master that nobody had to name.
pub(crate) const DEFAULT_ADDR: &str = "127.0.0.1:7070";

/// What every command has at hand.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The way to the cluster.
    pub(crate) client: Client,
    /// The screen.
    pub(crate) screen: Screen,
}

impl Context {
    /// From the global options.
    pub(crate) fn new(global: &Global) -> Context {
        Context {
            client: Client::new(
                Masters::new(&global.addr, global.tls(|name| std::env::var_os(name))),
                global.timeout,
            ),
            screen: Screen::new(global.output, global.no_color),
        }
    }

    /// The same screen with another cluster, one of this program's own on loopback: without TLS.
    pub(crate) fn at(&self, addr: &str) -> Context {
        Context {
            client: Client::new(Masters::new(addr, tls::Settings::default()), self.client.timeout()),
            screen: self.screen,
        }
    }

    /// A command line of this program that reaches the same cluster.
    pub(crate) fn command(&self, words: &str) -> String {
        let addr = self.client.shown();
        let program = program();
        if addr == DEFAULT_ADDR {
            format!("{program} {words}")
        } else {
            format!("{program} --addr {addr} {words}")
        }
    }

    /// Prints one answer: as JSON, or with `table` for people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn print<M: Named>(&self, message: &M, table: impl FnOnce(&M) -> String) -> Result<(), Error> {
        match self.screen.output {
            Output::Json => self.screen.data(&json::of(message, Layout::Pretty)?),
            Output::Table => self.screen.data(&table(message)),
        }
    }

    /// Prints one message of a stream: a line of JSON, or with `line` for people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn print_line<M: Named>(
        &self,
        message: &M,
        line: impl FnOnce(&M) -> String,
    ) -> Result<(), Error> {
        match self.screen.output {
            Output::Json => self.screen.data(&json::of(message, Layout::Line)?),
            Output::Table => self.screen.data(&line(message)),
        }
    }
}

/// This program as it was called, so that a command line that is shown can be typed as it stands.
pub(crate) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "shanty".to_owned())
}

/// Ends when the person at the keyboard (SIGINT) or the machine (SIGTERM) wants this process to end.
pub(crate) async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
