//! The table `tls` of a node, and the `--tls-…` flags: all three paths, or none.
//!
//! In: a configuration. Out: whether there shall be TLS. Pure.
//! Tests: below.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Three PEM files; empty for no TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The certificate that this node shows, with the chain up to the authority after it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of the authorities that others' certificates are signed by; during a change of authority the old
    /// and the new one.
    pub authority: PathBuf,
}

/// One of the three is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is missing: name `certificate`, `key` and `authority`, or none of them for plaintext")]
pub struct Incomplete(&'static str);

impl Settings {
    /// From flags.
    #[must_use]
    pub fn new(certificate: Option<PathBuf>, key: Option<PathBuf>, authority: Option<PathBuf>) -> Settings {
        Settings {
            certificate: certificate.unwrap_or_default(),
            key: key.unwrap_or_default(),
            authority: authority.unwrap_or_default(),
        }
    }

    /// Whether any path was named.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Settings::default()
    }

    /// Whether all are named, or none.
    ///
    /// # Errors
    /// The first one that is missing.
    pub fn check(&self) -> Result<(), Incomplete> {
        let Settings { certificate, key, authority } = self;
        let all = [("certificate", certificate), ("key", key), ("authority", authority)];
        let missing = all.iter().find(|(_, path)| path.as_os_str().is_empty());
        match missing {
            Some((name, _)) if self.is_set() => Err(Incomplete(name)),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_all_three_or_none() {
        let path = || Some(PathBuf::from("/x.pem"));
        assert_eq!(Settings::default().check(), Ok(()));
        assert!(!Settings::default().is_set());
        let all = Settings::new(path(), path(), path());
        assert_eq!((all.check(), all.is_set()), (Ok(()), true));
        assert_eq!(Settings::new(path(), None, path()).check(), Err(Incomplete("key")));
        assert_eq!(Settings::new(None, path(), path()).check(), Err(Incomplete("certificate")));
        assert_eq!(Settings::new(path(), path(), None).check(), Err(Incomplete("authority")));
    }
}
