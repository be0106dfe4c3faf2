//! Logging: pretty on a terminal, JSON elsewhere, without times under journald, which has its own.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Begins to log to standard error. `filter` is in the form of `RUST_LOG`, which wins when set.
pub fn init(filter: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    // A second call (tests that share a process) keeps the first subscriber.
    let _kept = if std::env::var_os("JOURNAL_STREAM").is_some() {
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(writer);
        registry.with(layer).try_init()
    } else if std::io::stderr().is_terminal() {
        registry.with(tracing_subscriber::fmt::layer().with_writer(writer)).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(writer)).try_init()
    };
}
