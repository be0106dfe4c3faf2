//! A connection from its URL.
//!
//! In: an [`Endpoint`] with secrets filled in. Out: a [`Connection`] with its session settings in force.
//! Never: shows a password; `Debug` and errors name host, port and database alone.
//! Tests: below; against servers in `worker/sync/tests/`.

use super::{Class, Connection, DbError, Engine, mysql, postgres, sqlite};
use std::fmt;

/// Where a database is and how to get in: `mysql://user:password@host:port/database?option=value`,
/// `postgres://…`, `sqlite:///path/file.db`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    engine: Engine,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown())
    }
}

impl Endpoint {
    /// An endpoint from a URL.
    ///
    /// # Errors
    /// In words, without the URL's secrets.
    pub fn parse(url: &str) -> Result<Endpoint, String> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let engine = match scheme {
            "mysql" | "mariadb" => Engine::Mysql,
            "postgres" | "postgresql" => Engine::Postgres,
            "sqlite" => Engine::Sqlite,
            other => {
                return Err(format!(
                    "its url begins with `{other}:`; allowed are mysql:, mariadb:, postgres:, postgresql:, sqlite:"
                ));
            }
        };
        Ok(Endpoint { url: url.to_owned(), engine })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The URL with its secrets.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL without user, password and options.
    #[must_use]
    pub fn shown(&self) -> String {
        let plain = self.url.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = plain.split_once("://").unwrap_or((plain, ""));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        format!("{scheme}://{place}")
    }
}

/// Connects. `read_only` sessions never write.
///
/// # Errors
/// [`DbError`]: `Lost` when nobody answers, `Denied` for a wrong user or password, `Missing` for a database that
/// does not exist.
pub async fn open(endpoint: &Endpoint, read_only: bool) -> Result<Box<dyn Connection>, DbError> {
    match endpoint.engine {
        Engine::Mysql => mysql::open(endpoint, read_only).await,
        Engine::Postgres => postgres::open(endpoint, read_only).await,
        Engine::Sqlite => sqlite::open(endpoint, read_only).await,
    }
}

/// An error of a part that has no server behind it.
pub(super) fn other(message: impl Into<String>) -> DbError {
    DbError::new(Class::Other, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("mysql://u:p@db:3306/shop?ssl=1", "mysql://db:3306/shop"),
            ("postgres://u:p%40x@[::1]/shop", "postgres://[::1]/shop"),
            ("sqlite:///tmp/a.db", "sqlite:///tmp/a.db"),
            ("postgresql://u:pa@ss@h/db", "postgresql://h/db"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.shown(), shown);
            assert!(!format!("{endpoint:?}").contains("u:p"));
        }
        assert!(Endpoint::parse("oracle://x").unwrap_err().contains("oracle"));
        assert!(Endpoint::parse("s3cret").is_err());
    }
}
