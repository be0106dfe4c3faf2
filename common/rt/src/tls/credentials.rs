//! The newest certificates of this process, kept up to date.
//!
//! In: paths. Out: what new connections are made from, at each connection anew.
//! Never: gives up certificates that work for files that do not; reads on the runtime's threads after the start.
//! Tests: below; between processes in `tests/tests/t25_tls.rs`.

use super::expiry::{Reminder, date, remaining};
use super::material::{Bytes, Error, Material};
use super::settings::Settings;
use crate::{clock, task};
use rustls::{ClientConfig, ServerConfig};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Between two looks at the files.
const EVERY: Duration = Duration::from_secs(2);

/// Certificates in use. A clone is another handle to the same ones.
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    newest: Mutex<Arc<Material>>,
    /// Last second of the certificate that was met last at an address.
    met: Mutex<BTreeMap<String, i64>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credentials").field(&self.inner.settings).finish()
    }
}

impl Credentials {
    /// Reads and checks the files; none when no path is set.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(settings: &Settings) -> Result<Option<Credentials>, Error> {
        settings.check()?;
        if !settings.is_set() {
            return Ok(None);
        }
        let material = Material::new(settings, Bytes::read(settings)?, now())?;
        let inner = Inner {
            settings: settings.clone(),
            newest: Mutex::new(Arc::new(material)),
            met: Mutex::default(),
        };
        Ok(Some(Credentials { inner: Arc::new(inner) }))
    }

    /// Looks at the files for as long as it is polled, and says when the certificate's time runs out.
    pub async fn keep(self) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reminder = Reminder::default();
        let mut trouble = Trouble::default();
        loop {
            tick.tick().await;
            let found = self.reload().await;
            if let Some(error) = trouble.lasts(found.as_ref().err()) {
                tracing::warn!(error, "new certificates cannot be used; the old ones stay in use");
            }
            if let Ok(true) = found {
                let until = date(self.not_after());
                tracing::info!(until, "certificates read anew: new connections use them");
            }
            if let Some(words) = reminder.due(self.not_after(), now()) {
                let path = self.inner.settings.certificate.display();
                tracing::warn!(%path, "this node's certificate {words}; put a new one there, it is read without a restart");
            }
        }
    }

    /// Takes what is in the files now, when that is something else and can be used; whether it did.
    ///
    /// # Errors
    /// Why it cannot be used. What was in use stays in use.
    pub async fn reload(&self) -> Result<bool, Error> {
        let inner = self.inner.clone();
        task::blocking("certificates", move || {
            let bytes = Bytes::read(&inner.settings)?;
            if inner.newest().bytes == bytes {
                return Ok(false);
            }
            let material = Material::new(&inner.settings, bytes, now())?;
            *inner.newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
            Ok(true)
        })
        .await?
    }

    /// Last second of this process's certificate, Unix time.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.inner.newest().not_after
    }

    /// That the certificate's time runs out within a week, and what to do.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let path = self.inner.settings.certificate.display();
        let words = remaining(self.not_after(), now())?;
        Some(format!("{words}; put a new one at {path}, it is read without a restart"))
    }

    /// Last second of the certificate that was met last at this address (`host:port`), Unix time.
    #[must_use]
    pub fn met(&self, address: &str) -> Option<i64> {
        self.inner.met.lock().unwrap_or_else(PoisonError::into_inner).get(address).copied()
    }

    pub(super) fn meet(&self, address: &str, not_after: i64) {
        let mut met = self.inner.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.insert(address.to_owned(), not_after);
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        self.inner.newest().server.clone()
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        self.inner.newest().client.clone()
    }
}

impl Inner {
    fn newest(&self) -> Arc<Material> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn now() -> i64 {
    clock::unix_ms() / 1000
}

/// Trouble is told once, and not before it was met twice: the files may be in the middle of being replaced.
#[derive(Debug, Default)]
struct Trouble {
    met: Option<String>,
    said: bool,
}

impl Trouble {
    fn lasts(&mut self, error: Option<&Error>) -> Option<String> {
        let error = error.map(Error::to_string);
        if error.is_none() || error != self.met {
            *self = Trouble { met: error, said: false };
            return None;
        }
        if std::mem::replace(&mut self.said, true) { None } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority_test::{Authority, Files};
    use super::*;

    fn open(files: &Files) -> Credentials {
        Credentials::open(&files.settings).unwrap().unwrap()
    }

    #[test]
    fn without_paths_there_are_none_and_one_path_is_not_enough() {
        assert!(Credentials::open(&Settings::default()).unwrap().is_none());
        let error = Credentials::open(&Settings::new(Some("/x".into()), None, None)).unwrap_err();
        assert!(error.to_string().contains("`key` is missing"), "{error}");
    }

    #[tokio::test]
    async fn what_works_stays_in_use_until_something_better_is_there() {
        let authority = Authority::new("a");
        let files = Files::new(&authority.issue(3));
        let credentials = open(&files);
        let (before, first) = (credentials.not_after(), credentials.server());
        assert!(!credentials.reload().await.unwrap(), "nothing has changed");
        assert!(credentials.warning().unwrap().contains("expires in "));

        files.write(&authority.issue(-1));
        let error = credentials.reload().await.unwrap_err();
        assert!(matches!(error, Error::Expired { .. }), "{error}");
        std::fs::remove_file(&files.settings.key).unwrap();
        assert!(matches!(credentials.reload().await.unwrap_err(), Error::Unreadable { .. }));
        assert_eq!(credentials.not_after(), before);
        assert!(Arc::ptr_eq(&first, &credentials.server()), "the old ones are in use");

        files.write(&authority.issue(30));
        assert!(credentials.reload().await.unwrap());
        assert!(credentials.not_after() > before && !Arc::ptr_eq(&first, &credentials.server()));
        assert_eq!(credentials.warning(), None);
    }

    #[test]
    fn trouble_is_told_once_when_it_lasts() {
        let error = |file: &str| Error::NoPair { key: file.into(), certificate: file.into() };
        let (one, two) = (error("one"), error("two"));
        let mut trouble = Trouble::default();
        let told = [Some(&one), None, Some(&one), Some(&one), Some(&one), Some(&two), Some(&two)]
            .map(|error| trouble.lasts(error).is_some());
        assert_eq!(told, [false, false, false, true, false, false, true]);
    }
}
