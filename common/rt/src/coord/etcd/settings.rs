//! The table `etcd` of a node: where its members are, and how to get in.
//!
//! In: a configuration. Out: [`EtcdOptions`], or one sentence that names the key. Never: shows the password.
//! Tests: below; with servers in the `coord` test of the tests crate.

use super::EtcdOptions;
use crate::config::{MissingVariable, expand};
use crate::tls::{self, Credentials};
use serde::{Deserialize, Serialize};

/// Where etcd is, and how to get in.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EtcdSettings {
    /// Members, `host:port`.
    pub endpoints: Vec<String>,
    /// The user, where etcd's access control is on; empty for none.
    pub user: String,
    /// Its password; `${NAME}` stands for a variable of the environment.
    pub password: String,
    /// Certificates, where etcd speaks TLS: the one that is shown to it, its key, and who signs those of the members.
    pub tls: tls::Settings,
}

/// Why etcd cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum EtcdSettingsError {
    /// A user alone, or a password alone.
    #[error("`user` and `password` belong together: name both, or none")]
    HalfAUser,
    /// TLS without certificates.
    #[error(
        "`endpoints`: {0} wants TLS; name `tls.certificate`, `tls.key` and `tls.authority`, or write http://"
    )]
    WantsTls(String),
    /// Certificates without TLS.
    #[error(
        "`endpoints`: {0} is plaintext, and `tls` names certificates; write https://, or leave `tls` out"
    )]
    Plaintext(String),
    /// Certificates that cannot be used.
    #[error("`tls`: {0}")]
    Tls(#[from] tls::Error),
    /// A variable that is not set.
    #[error("`password`: {0}")]
    Password(#[from] MissingVariable),
}

impl std::fmt::Debug for EtcdSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let EtcdSettings { endpoints, user, password: _, tls } = self;
        let mut shown = f.debug_struct("EtcdSettings");
        shown.field("endpoints", endpoints).field("user", user).field("tls", tls).finish_non_exhaustive()
    }
}

impl EtcdSettings {
    /// Whether it makes sense, as far as that can be said without reading a file.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn check(&self) -> Result<(), EtcdSettingsError> {
        if self.user.is_empty() != self.password.is_empty() {
            return Err(EtcdSettingsError::HalfAUser);
        }
        self.tls.check().map_err(tls::Error::from)?;
        let over_tls = self.tls.is_set();
        for endpoint in &self.endpoints {
            match endpoint.split_once("://") {
                Some(("https", _)) if !over_tls => return Err(EtcdSettingsError::WantsTls(endpoint.clone())),
                Some(("http", _)) if over_tls => return Err(EtcdSettingsError::Plaintext(endpoint.clone())),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// What a coordinator needs of it; certificates are read.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn options(&self) -> Result<EtcdOptions, EtcdSettingsError> {
        self.check()?;
        let mut options = EtcdOptions::new(self.endpoints.clone());
        if !self.user.is_empty() {
            options.user = Some((self.user.clone(), expand(&self.password)?));
        }
        options.credentials = Credentials::open(&self.tls)?;
        Ok(options)
    }

    /// Takes from `other` what is empty here; how to get in only where the members are the same, so that no password goes to
    /// an etcd that it is not for. Answers the keys that it took, each with its value as it may be shown.
    pub fn fill_from(&mut self, other: &EtcdSettings) -> Vec<(&'static str, serde_json::Value)> {
        let mut filled = Vec::new();
        if self.endpoints.is_empty() && !other.endpoints.is_empty() {
            self.endpoints.clone_from(&other.endpoints);
            filled.push(("endpoints", other.endpoints.clone().into()));
        }
        if self.endpoints != other.endpoints {
            return filled;
        }
        if self.user.is_empty() && self.password.is_empty() && !other.user.is_empty() {
            (self.user, self.password) = (other.user.clone(), other.password.clone());
            filled.extend([("user", other.user.clone().into()), ("password", "***".into())]);
        }
        if !self.tls.is_set() && other.tls.is_set() {
            self.tls.clone_from(&other.tls);
            let paths = [
                ("tls.certificate", &other.tls.certificate),
                ("tls.key", &other.tls.key),
                ("tls.authority", &other.tls.authority),
            ];
            filled.extend(paths.map(|(key, path)| (key, path.display().to_string().into())));
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str, user: &str, password: &str, tls: bool) -> EtcdSettings {
        let path = || tls.then(|| "/x.pem".into());
        let tls = tls::Settings::new(path(), path(), path());
        EtcdSettings { endpoints: vec![endpoint.into()], user: user.into(), password: password.into(), tls }
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        for good in [
            settings("h:2379", "", "", false),
            settings("http://h:2379", "u", "p", false),
            settings("h:2379", "u", "${P}", true),
            settings("https://h:2379", "", "", true),
        ] {
            assert!(good.check().is_ok(), "{good:?}");
        }
        for (bad, part) in [
            (settings("h:2379", "u", "", false), "belong together"),
            (settings("h:2379", "", "p", false), "belong together"),
            (settings("https://h:2379", "", "", false), "https://h:2379 wants TLS"),
            (settings("http://h:2379", "", "", true), "is plaintext"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
        let half = tls::Settings::new(Some("/x.pem".into()), None, None);
        let error = EtcdSettings { tls: half, ..EtcdSettings::default() }.check().unwrap_err();
        assert!(error.to_string().starts_with("`tls`: `key` is missing"), "{error}");
    }

    #[test]
    fn a_password_is_of_the_environment_and_is_never_shown() {
        let secret = settings("h:2379", "u", "${SHANTY_NO_SUCH_VARIABLE}", false);
        let error = secret.options().unwrap_err().to_string();
        assert!(error.contains("`password`") && error.contains("SHANTY_NO_SUCH_VARIABLE"), "{error}");
        let plain = settings("h:2379", "u", "hunter2", false);
        let options = plain.options().unwrap();
        assert_eq!(options.user, Some(("u".to_owned(), "hunter2".to_owned())));
        assert!(!format!("{plain:?} {options:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_empty_is_filled_and_what_was_written_stays() {
        let other = settings("h:2379", "u", "hunter2", true);
        let mut own = EtcdSettings::default();
        let filled = own.fill_from(&other);
        assert_eq!(own, other);
        let keys: Vec<&str> = filled.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["endpoints", "user", "password", "tls.certificate", "tls.key", "tls.authority"]);
        assert!(!format!("{filled:?}").contains("hunter2"));
        let mut own = settings("mine:2379", "me", "p", false);
        assert_eq!(own.fill_from(&settings("h:2379", "u", "hunter2", false)), []);
        assert_eq!(own, settings("mine:2379", "me", "p", false));
        let mut own = settings("mine:2379", "", "", false);
        assert_eq!(own.fill_from(&other), [], "another etcd is told no password");
    }
}
