//! The dialects: everything in which the three databases differ, and nothing else.
//!
//! Statements are written once, with `?` for a value; a [`Dialect`] puts the rest right.
//! In: a statement in the common form. Out: the database's own form. Never: talks to a database.
//! Tests: below; the conformance suite on real servers.

use std::fmt::Write as _;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

impl Dialect {
    /// The dialect of a URL's scheme; none for an unknown one.
    pub(super) fn of_url(url: &str) -> Option<Dialect> {
        match url.split(':').next()? {
            "sqlite" => Some(Dialect::Sqlite),
            "postgres" | "postgresql" => Some(Dialect::Postgres),
            "mysql" | "mariadb" => Some(Dialect::MySql),
            _ => None,
        }
    }

    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
            Dialect::MySql => "mysql",
        }
    }

    /// What a new connection is told first. Lock waits are short, and a server that can ends a transaction
    /// whose client has fallen silent, so that a paused master cannot hold the fence row against its
    /// successor.
    pub(super) fn on_connect(self) -> &'static [&'static str] {
        match self {
            Dialect::Sqlite => {
                &["PRAGMA busy_timeout = 1000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"]
            }
            Dialect::Postgres => {
                &["SET lock_timeout = '1s'", "SET idle_in_transaction_session_timeout = '2s'"]
            }
            // MariaDB reads what stands in /*M! */; MySQL has wait_timeout alone, which ends any idle session
            // (the pool's own idle timeout is shorter).
            Dialect::MySql => &[
                "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET SESSION innodb_lock_wait_timeout = 1, wait_timeout = 10 /*M! , idle_transaction_timeout = 2 */",
            ],
        }
    }

    /// The number of a connection's session at the server; none where there is no server.
    pub(super) fn session(self) -> Option<&'static str> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some("SELECT CAST(pg_backend_pid() AS BIGINT)"),
            Dialect::MySql => Some("SELECT CAST(CONNECTION_ID() AS SIGNED)"),
        }
    }

    /// Sessions that hold what session `?` waits for, and whose clients have said nothing for `?` milliseconds though their
    /// transactions stand open. MariaDB tells it to users with PROCESS; MySQL, which keeps it elsewhere, is not asked.
    pub(super) fn silent_holders(self) -> Option<&'static str> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(
                "SELECT CAST(holder.pid AS BIGINT) FROM pg_stat_activity holder \
                 WHERE holder.pid = ANY(pg_blocking_pids(CAST(? AS INTEGER))) AND holder.state LIKE 'idle in transaction%' \
                 AND holder.state_change < clock_timestamp() - CAST(? AS BIGINT) * INTERVAL '1 ms'",
            ),
            Dialect::MySql => Some(
                "SELECT CAST(holder.trx_mysql_thread_id AS SIGNED) FROM information_schema.innodb_lock_waits waits \
                 JOIN information_schema.innodb_trx waiter ON waiter.trx_id = waits.requesting_trx_id \
                 JOIN information_schema.innodb_trx holder ON holder.trx_id = waits.blocking_trx_id \
                 JOIN information_schema.processlist client ON client.id = holder.trx_mysql_thread_id \
                 WHERE waiter.trx_mysql_thread_id = ? AND client.command = 'Sleep' AND client.time_ms > ?",
            ),
        }
    }

    /// Ends a session of this user's; what it had begun is undone.
    pub(super) fn end_session(self, session: i64) -> String {
        match self {
            Dialect::Sqlite | Dialect::Postgres => format!("SELECT pg_terminate_backend({session})"),
            Dialect::MySql => format!("KILL {session}"),
        }
    }

    /// Begins a transaction that will write.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres | Dialect::MySql => "BEGIN",
        }
    }

    /// Ends a SELECT whose rows shall not change until the transaction is over.
    pub(super) fn lock_shared(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR SHARE",
            Dialect::MySql => " LOCK IN SHARE MODE",
        }
    }

    /// Ends a SELECT whose rows nobody else shall lock until the transaction is over.
    pub(super) fn lock_exclusive(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres | Dialect::MySql => " FOR UPDATE",
        }
    }

    /// Ends an INSERT that shall do nothing for a row that is there; `column` is any of the table's.
    pub(super) fn or_nothing(self, column: &str) -> String {
        match self {
            Dialect::Sqlite | Dialect::Postgres => " ON CONFLICT DO NOTHING".to_owned(),
            // INSERT IGNORE would also cut what is too long.
            Dialect::MySql => format!(" ON DUPLICATE KEY UPDATE {column} = {column}"),
        }
    }

    /// Ends an INSERT that shall set `columns` of a row that is there already under `key`.
    pub(super) fn or_update(self, key: &str, columns: &[&str]) -> String {
        let mut text = match self {
            Dialect::Sqlite | Dialect::Postgres => format!(" ON CONFLICT ({key}) DO UPDATE SET "),
            Dialect::MySql => " ON DUPLICATE KEY UPDATE ".to_owned(),
        };
        for (i, column) in columns.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = match self {
                Dialect::Sqlite | Dialect::Postgres => write!(text, "{comma}{column} = excluded.{column}"),
                Dialect::MySql => write!(text, "{comma}{column} = VALUES({column})"),
            };
        }
        text
    }

    /// The statement with its `?` as the database wants them. Statements hold no literal text.
    pub(super) fn with_placeholders(self, statement: &str) -> String {
        match self {
            Dialect::Sqlite | Dialect::MySql => statement.to_owned(),
            Dialect::Postgres => {
                let mut out = String::with_capacity(statement.len() + 32);
                for (i, part) in statement.split('?').enumerate() {
                    if i > 0 {
                        let _ = write!(out, "${i}");
                    }
                    out.push_str(part);
                }
                out
            }
        }
    }

    /// A statement of the schema with its types: `{key}` a short text compared byte by byte, `{text}` any
    /// text, `{blob}` any bytes, `{table}` what follows a table's columns.
    pub(super) fn with_types(self, statement: &str) -> String {
        let (key, text, blob, table) = match self {
            Dialect::Sqlite => ("TEXT", "TEXT", "BLOB", ""),
            Dialect::Postgres => ("TEXT COLLATE \"C\"", "TEXT", "BYTEA", ""),
            Dialect::MySql => (
                "VARCHAR(191)",
                "LONGTEXT",
                "LONGBLOB",
                " ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
            ),
        };
        statement
            .replace("{key}", key)
            .replace("{text}", text)
            .replace("{blob}", blob)
            .replace("{table}", table)
    }

    /// A statement of the schema without the words that the database does not know. MySQL has no IF NOT EXISTS
    /// for indexes and columns, SQLite none for columns; see [`Dialect::is_there`].
    pub(super) fn without_missing_words(self, statement: &str) -> String {
        match self {
            Dialect::Postgres => statement.to_owned(),
            Dialect::Sqlite => statement.replace("ADD COLUMN IF NOT EXISTS", "ADD COLUMN"),
            Dialect::MySql => statement
                .replace("CREATE INDEX IF NOT EXISTS", "CREATE INDEX")
                .replace("ADD COLUMN IF NOT EXISTS", "ADD COLUMN"),
        }
    }

    /// Whether a failed CREATE INDEX or ADD COLUMN means that the index or the column is there.
    pub(super) fn is_there(self, error: &sqlx::Error) -> bool {
        match self {
            Dialect::Postgres => false,
            // It has no number of its own for this.
            Dialect::Sqlite => {
                error.as_database_error().is_some_and(|e| e.message().starts_with("duplicate column name"))
            }
            Dialect::MySql => error
                .as_database_error()
                .and_then(|e| e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
                .is_some_and(|e| matches!(e.number(), 1060 | 1061)),
        }
    }

    /// Takes and gives back the lock under which one process at a time brings the schema up to date;
    /// none where the transaction does it.
    pub(super) fn schema_lock(self) -> Option<(&'static str, &'static str)> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some((
                "SELECT pg_advisory_lock(7305808869229538)",
                "SELECT pg_advisory_unlock(7305808869229538)",
            )),
            Dialect::MySql => Some((
                "SELECT GET_LOCK(CONCAT('shanty.', DATABASE()), 30)",
                "SELECT RELEASE_LOCK(CONCAT('shanty.', DATABASE()))",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_placeholder_gets_its_number_where_the_database_wants_one() {
        let statement = "UPDATE t SET a = ?, b = ? WHERE c = ?";
        assert_eq!(
            Dialect::Postgres.with_placeholders(statement),
            "UPDATE t SET a = $1, b = $2 WHERE c = $3"
        );
        assert_eq!(Dialect::MySql.with_placeholders(statement), statement);
        assert_eq!(Dialect::Sqlite.with_placeholders(statement), statement);
    }

    #[test]
    fn an_upsert_sets_every_column() {
        assert_eq!(
            Dialect::Postgres.or_update("id", &["a", "b"]),
            " ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = excluded.b"
        );
        assert_eq!(
            Dialect::MySql.or_update("id", &["a", "b"]),
            " ON DUPLICATE KEY UPDATE a = VALUES(a), b = VALUES(b)"
        );
    }

    #[test]
    fn words_that_a_database_does_not_know_are_left_out() {
        let column = "ALTER TABLE t ADD COLUMN IF NOT EXISTS c TEXT";
        assert_eq!(Dialect::Postgres.without_missing_words(column), column);
        for dialect in [Dialect::Sqlite, Dialect::MySql] {
            assert_eq!(dialect.without_missing_words(column), "ALTER TABLE t ADD COLUMN c TEXT");
        }
        let index = "CREATE INDEX IF NOT EXISTS i ON t (c)";
        assert_eq!(Dialect::Sqlite.without_missing_words(index), index);
        assert_eq!(Dialect::MySql.without_missing_words(index), "CREATE INDEX i ON t (c)");
    }

    #[test]
    fn a_url_names_its_dialect() {
        assert_eq!(Dialect::of_url("postgresql://h/d"), Some(Dialect::Postgres));
        assert_eq!(Dialect::of_url("mariadb://h/d"), Some(Dialect::MySql));
        assert_eq!(Dialect::of_url("sqlite:///d"), Some(Dialect::Sqlite));
        assert_eq!(Dialect::of_url("oracle://h"), None);
    }
}
