//! A connection tried: what answers, how fast, what it will not do, and what helps when nothing answers.
//!
//! In: a registry and a name. Out: [`Checked`]. Reads and changes nothing of the user's.
//! Never: a secret; waits longer than [`PATIENCE`].
//! Tests: below; against servers in the tests crate.

use super::registry::Registry;
use crate::db::{self, Class, Connection, DbError, Endpoint, Engine};
use std::time::{Duration, Instant};

/// Longest time a check takes.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// The server's product and version; empty when it was not reached.
    pub server: String,
    /// Where the connection leads, without user and password; empty when that is not known.
    pub endpoint: String,
    /// To connect and get a first answer; none when it was not reached.
    pub latency: Option<Duration>,
    /// What works but will cost speed or certainty.
    pub warnings: Vec<String>,
    /// What is wrong and what helps; none when all is well.
    pub error: Option<String>,
}

/// Tries a connection.
pub async fn check(registry: &Registry, name: &str) -> Checked {
    let endpoint = match registry.get(name) {
        Ok(endpoint) => endpoint,
        Err(error) => return Checked { error: Some(error.to_string()), ..Checked::default() },
    };
    let mut checked = Checked { endpoint: endpoint.shown(), ..Checked::default() };
    match tokio::time::timeout(PATIENCE, look(&endpoint, &mut checked)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => checked.error = Some(in_words(name, &endpoint, &error)),
        Err(_) => {
            checked.error = Some(format!(
                "{} did not answer within {} s; check that host and port are right and that no firewall is between",
                endpoint.shown(),
                PATIENCE.as_secs()
            ));
        }
    }
    checked
}

async fn look(endpoint: &Endpoint, checked: &mut Checked) -> Result<(), DbError> {
    let begun = Instant::now();
    let mut connection = db::open(endpoint, true).await?;
    connection.query("SELECT 1").await?;
    checked.latency = Some(begun.elapsed());
    checked.server = connection.server();
    let warnings = match endpoint.engine() {
        Engine::Mysql => of_mysql(connection.as_mut(), &checked.server).await,
        Engine::Postgres => of_postgres(connection.as_mut()).await,
        Engine::Sqlite => of_sqlite(connection.as_mut()).await,
    };
    checked.warnings = warnings;
    if let Ok(Some(lag)) = connection.lag().await
        && lag > Duration::from_secs(1)
    {
        checked
            .warnings
            .push(format!("it is a replica and {} s behind: rows written since are not seen", lag.as_secs()));
    }
    connection.close().await;
    Ok(())
}

/// A variable's value in small letters; none when the server does not tell.
async fn asked(connection: &mut dyn Connection, sql: &str) -> Option<String> {
    let rows = connection.query(sql).await.ok()?;
    rows.into_iter().next()?.into_iter().next()?.map(|value| value.to_ascii_lowercase())
}

fn is_on(value: Option<String>) -> bool {
    value.is_some_and(|value| matches!(value.as_str(), "1" | "on" | "true" | "t"))
}

async fn of_mysql(connection: &mut dyn Connection, server: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if server.to_ascii_lowercase().contains("tidb") {
        warnings.push("TiDB is reached by its protocol; syncs with it have not been tested".to_owned());
    }
    let infile = asked(connection, "SELECT @@local_infile").await;
    if infile.is_some() && !is_on(infile) {
        warnings.push(
            "LOAD DATA LOCAL is off here, so writing to it takes the slower INSERT; as an administrator: SET GLOBAL \
             local_infile = ON"
                .to_owned(),
        );
    }
    if is_on(asked(connection, "SELECT @@global.read_only").await) {
        warnings.push("the server is read only: it can be a source, not a target".to_owned());
    }
    warnings
}

async fn of_postgres(connection: &mut dyn Connection) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_on(asked(connection, "SELECT pg_is_in_recovery()::text").await) {
        warnings.push(
            "it is a standby: it can be a source, not a target, and long reads may be cancelled by replay (see \
             max_standby_streaming_delay and hot_standby_feedback)"
                .to_owned(),
        );
    }
    if let Some(encoding) = asked(connection, "SHOW server_encoding").await
        && encoding != "utf8"
    {
        warnings.push(format!(
            "its encoding is {encoding}, not UTF8: characters that it lacks are refused as values of a target"
        ));
    }
    warnings
}

async fn of_sqlite(connection: &mut dyn Connection) -> Vec<String> {
    let mode = asked(connection, "PRAGMA journal_mode").await;
    match mode {
        Some(mode) if mode != "wal" && mode != "memory" => vec![format!(
            "its journal is {mode}, not wal: a program that writes to the file makes readers wait"
        )],
        Some(_) | None => Vec::new(),
    }
}

/// An error with what helps.
fn in_words(name: &str, endpoint: &Endpoint, error: &DbError) -> String {
    let message = scrubbed(&error.to_string(), endpoint);
    let place = endpoint.shown();
    let remedy = match (error.class, endpoint.engine()) {
        (Class::Lost, Engine::Sqlite) | (Class::Denied, Engine::Sqlite) => {
            "check that the file and its folder can be read and written by the user that the worker runs as"
        }
        (Class::Missing, Engine::Sqlite) => {
            "check the path; a target's file is made by the sync itself, a source must be there"
        }
        (Class::Lost, Engine::Mysql | Engine::Postgres) => {
            "check that the server runs, that host and port are right, and that this worker may reach it"
        }
        (Class::Denied, Engine::Mysql | Engine::Postgres) => {
            "check user and password of the connection and that the account may log in from this worker's address"
        }
        (Class::Missing, Engine::Mysql | Engine::Postgres) => {
            "check the database's name at the end of the url, or create it"
        }
        (Class::Busy, _) => "try again; if it stays, allow more connections on the server",
        (Class::Row | Class::Other, _) => "the message is the server's own",
    };
    // Some errors name the place themselves.
    let place = if message.contains(&place) { String::new() } else { format!(" to {place}") };
    format!("connection `{name}`{place}: {message}; {remedy}")
}

/// A message without the endpoint's password, encoded or not, should a server or a driver ever repeat it.
fn scrubbed(message: &str, endpoint: &Endpoint) -> String {
    let user_info = endpoint.url().split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    let Some((_, password)) = user_info.and_then(|(user_info, _)| user_info.split_once(':')) else {
        return message.to_owned();
    };
    let mut message = message.to_owned();
    for secret in [password.to_owned(), decoded(password)] {
        if secret.len() > 2 {
            message = message.replace(&secret, "***");
        }
    }
    message
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use std::collections::BTreeMap;

    fn registry(url: &str) -> Registry {
        Registry::new(BTreeMap::from([("shop".to_owned(), Settings::new(url))]))
    }

    #[tokio::test]
    async fn what_cannot_be_filled_in_is_told_before_anything_is_opened() {
        let checked = check(&registry("mysql://u:${SHANTY_TEST_UNSET}@h/db"), "shop").await;
        let error = checked.error.unwrap();
        assert!(error.contains("SHANTY_TEST_UNSET") && error.contains("`shop`"), "{error}");
        assert_eq!((checked.latency, checked.endpoint.as_str()), (None, ""));
        assert!(
            check(&registry("mysql://h/db"), "shap").await.error.unwrap().contains("did you mean `shop`")
        );
    }

    #[tokio::test]
    async fn a_failure_names_the_place_and_never_the_password() {
        let checked = check(&registry("mysql://u:hunter%402@127.0.0.1:1/db"), "shop").await;
        let error = checked.error.unwrap();
        assert!(error.contains("mysql://127.0.0.1:1/db") && error.contains("`shop`"), "{error}");
        assert!(!error.contains("hunter") && checked.latency.is_none());
    }

    #[test]
    fn a_message_that_repeats_the_password_is_cut() {
        let endpoint = Endpoint::parse("mysql://u:hunter%402@h/db").unwrap();
        let shown =
            in_words("shop", &endpoint, &DbError::new(Class::Denied, "hunter@2 and hunter%402 failed"));
        assert!(!shown.contains("hunter") && shown.contains("user and password"), "{shown}");
        assert_eq!(decoded("a%4z%41%"), "a%4zA%");
    }
}
