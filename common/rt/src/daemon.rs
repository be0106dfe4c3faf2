//! What every daemon does with its process: the environment, the folder that systemd made, the signals.
//!
//! Tests: the daemons' own, as processes in the tests crate.

use crate::config::Origin;
use crate::signal;
use std::future::Future;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The process's environment, without what is not text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}

/// The data folder: the configured one, or the one that systemd made for the service when none was configured.
#[must_use]
pub fn data_folder(configured: PathBuf, origin: Origin) -> PathBuf {
    match std::env::var_os("STATE_DIRECTORY") {
        Some(folder) if origin == Origin::Default => PathBuf::from(folder),
        Some(_) | None => configured,
    }
}

/// A path that was given by flag, as the configuration takes it.
#[must_use]
pub fn path(given: Option<&Path>) -> Option<String> {
    given.map(|path| path.to_string_lossy().into_owned())
}

/// Runs `work`, which ends some time after its token is cancelled: by SIGTERM or SIGINT here.
///
/// # Errors
/// The work's own, and when signals cannot be listened for.
pub async fn until_signal<E: From<std::io::Error>, F: Future<Output = Result<(), E>>>(
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<(), E> {
    let stop = CancellationToken::new();
    let work = work(stop.clone());
    tokio::pin!(work);
    tokio::select! {
        left = &mut work => left,
        failed = signal::cancel_on_signal(stop) => {
            failed?;
            work.await
        }
    }
}
