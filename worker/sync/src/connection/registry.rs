//! Names to endpoints.
//!
//! In: the settings of a configuration. Out: an [`Endpoint`] with its secrets filled in, made anew each time it is
//! asked for, so that a rotated password is taken up by the next connection.
//! Never: keeps or shows a filled-in secret.
//! Tests: below.

use super::secrets::{ProcessSecrets, Secrets};
use super::settings::Settings;
use super::template::Unfilled;
use crate::db::Endpoint;
use shanty_model::id::{ConnectionId, nearest};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The connections of a worker.
#[derive(Clone)]
pub struct Registry {
    connections: Arc<BTreeMap<String, Settings>>,
    secrets: Arc<dyn Secrets>,
}

/// Why a connection cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is none of that name.
    #[error("this worker has no connection `{name}`; {hint}")]
    Unknown {
        /// The name.
        name: String,
        /// The nearest ones, or what to add.
        hint: String,
    },
    /// Its name or its URL is not what it must be.
    #[error("connection `{name}`: {message}")]
    Malformed {
        /// The name.
        name: String,
        /// What is wrong and what helps.
        message: String,
    },
    /// Variables that nobody set.
    #[error(
        "connection `{name}` needs {}, which this worker's environment and credentials do not have; set it for the \
         worker, for example with Environment= or LoadCredential= in its unit",
        variables.join(" and ")
    )]
    Missing {
        /// The name.
        name: String,
        /// The variables.
        variables: Vec<String>,
    },
    /// A file or credential that cannot be read.
    #[error("connection `{name}` needs {what}, which cannot be read: {message}")]
    Unreadable {
        /// The name.
        name: String,
        /// The file or the variable.
        what: String,
        /// Why.
        message: String,
    },
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.connections.iter().map(|(name, s)| (name, s.shown()))).finish()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Registry::new(BTreeMap::new())
    }
}

impl Registry {
    /// The connections of a configuration; placeholders are answered by this process's environment and
    /// credentials.
    #[must_use]
    pub fn new(connections: BTreeMap<String, Settings>) -> Registry {
        Registry::with_secrets(connections, Arc::new(ProcessSecrets::of_this_process()))
    }

    /// The same with another answer to placeholders.
    #[must_use]
    pub fn with_secrets(connections: BTreeMap<String, Settings>, secrets: Arc<dyn Secrets>) -> Registry {
        Registry { connections: Arc::new(connections), secrets }
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.connections.keys().cloned().collect()
    }

    /// The endpoint of a connection, its secrets read now. Reads small files; a few microseconds otherwise.
    ///
    /// # Errors
    /// [`Unusable`], naming the connection and what is missing, never a secret.
    pub fn get(&self, name: &str) -> Result<Endpoint, Unusable> {
        let settings = self.connections.get(name).ok_or_else(|| self.unknown(name))?;
        let malformed = |message| Unusable::Malformed { name: name.to_owned(), message };
        let url =
            settings.template().map_err(malformed)?.fill(self.secrets.as_ref()).map_err(|unfilled| {
                let name = name.to_owned();
                match unfilled {
                    Unfilled::Missing(variables) => Unusable::Missing { name, variables },
                    Unfilled::Unreadable(what, message) => Unusable::Unreadable { name, what, message },
                    Unfilled::Place(what) => Unusable::Malformed {
                        name,
                        message: format!(
                            "what {what} holds is no host, port or database: it has @, ?, # or a blank"
                        ),
                    },
                }
            })?;
        Endpoint::parse(&url).map_err(malformed)
    }

    /// Checks names and URLs as far as that goes without filling anything in.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check_settings(connections: &BTreeMap<String, Settings>) -> Result<(), Unusable> {
        for (name, settings) in connections {
            let malformed = |message: String| Unusable::Malformed { name: name.clone(), message };
            let id: ConnectionId = name.parse().map_err(|error| malformed(format!("{error}")))?;
            if id.as_str() != name {
                return Err(malformed("its name must be bare, without connections/".to_owned()));
            }
            settings.check().map_err(malformed)?;
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Unusable {
        let near = nearest(name, self.connections.keys().map(String::as_str));
        let hint = if near.is_empty() {
            format!("add [worker.connections.{name}] with its url to the worker's configuration")
        } else {
            let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
            format!("did you mean {}?", near.join(" or "))
        };
        Unusable::Unknown { name: name.to_owned(), hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Mutex;

    struct Given(Mutex<BTreeMap<String, String>>);

    impl Secrets for Given {
        fn named(&self, name: &str) -> Result<Option<String>, String> {
            Ok(self.0.lock().unwrap().get(name).cloned())
        }
        fn file(&self, _: &Path) -> Result<String, String> {
            Err("Permission denied".to_owned())
        }
    }

    fn registry(urls: &[(&str, &str)]) -> (Registry, Arc<Given>) {
        let connections = urls.iter().map(|(name, url)| ((*name).to_owned(), Settings::new(*url))).collect();
        let given = Arc::new(Given(Mutex::new(BTreeMap::new())));
        (Registry::with_secrets(connections, given.clone()), given)
    }

    #[test]
    fn a_rotated_password_is_taken_up() {
        let (registry, given) = registry(&[("shop", "mysql://etl:${SHOP_PW}@db/shop")]);
        for password in ["one", "two"] {
            given.0.lock().unwrap().insert("SHOP_PW".to_owned(), password.to_owned());
            let endpoint = registry.get("shop").unwrap();
            assert_eq!(endpoint.url(), format!("mysql://etl:{password}@db/shop"));
            assert!(!format!("{registry:?} {endpoint:?}").contains(password));
        }
    }

    #[test]
    fn errors_name_the_connection_and_what_is_missing() {
        let (registry, _) = registry(&[
            ("shop_mysql", "mysql://${U}:${SHOP_PW}@db/shop"),
            ("dw", "postgres://u:${file:/run/pw}@db/dw"),
            ("odd", "oracle://u:hunter2@db/x"),
        ]);
        for (name, parts) in [
            ("shop_mysql", ["`shop_mysql`", "U and SHOP_PW"]),
            ("shop_mysq", ["no connection `shop_mysq`", "did you mean `shop_mysql`?"]),
            ("warehouse", ["no connection", "[worker.connections.warehouse]"]),
            ("dw", ["/run/pw", "Permission denied"]),
            ("odd", ["`odd`", "oracle"]),
        ] {
            let error = registry.get(name).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
            assert!(!error.contains("hunter2"));
        }
        assert_eq!(registry.names(), ["dw", "odd", "shop_mysql"]);
    }

    #[test]
    fn settings_are_checked_before_they_are_used() {
        let checked = |name: &str, url: &str| {
            Registry::check_settings(&BTreeMap::from([(name.to_owned(), Settings::new(url))]))
        };
        assert_eq!(checked("shop", "mysql://u:${PW}@h/db"), Ok(()));
        for (name, url) in
            [("Shop", "mysql://h/db"), ("connections/shop", "mysql://h/db"), ("shop", "mysql://u:${@h")]
        {
            assert!(checked(name, url).is_err(), "{name} {url}");
        }
    }
}
