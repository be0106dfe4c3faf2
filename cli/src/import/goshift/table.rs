//! goshift's task table: rows in, `task_status` out.
//!
//! In: a URL, or `task_meta` of the configuration; variables are filled in from this process's environment.
//! Out: rows as text. Never: a write but of `task_status`, and only with `--run`.
//! Tests: `cli/tests/sync.rs` with SQLite.

use super::config::{Folder, Text};
use crate::error::Error;
use shanty_sync::connection::{Registry, Settings};
use shanty_sync::db::{self, Class, Connection, DbError, Endpoint, TextRow};
use std::collections::BTreeMap;

/// The table's name.
pub(super) const TABLE: &str = "task_def_sync_manager";
const COLUMNS: [&str; 13] = [
    "id",
    "from_app",
    "from_db_type",
    "from_db",
    "from_table",
    "to_app",
    "to_db_type",
    "to_db",
    "to_table",
    "params",
    "online_status",
    "task_desc",
    "owner",
];
/// Name of the connection in messages.
const NAME: &str = "task-database";

/// A row as text; NULL is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Number of the task.
    pub(super) id: String,
    pub(super) from_app: String,
    pub(super) from_db_type: String,
    pub(super) from_db: String,
    pub(super) from_table: String,
    pub(super) to_app: String,
    pub(super) to_db_type: String,
    pub(super) to_db: String,
    pub(super) to_table: String,
    /// JSON.
    pub(super) params: String,
    /// 1 for online.
    pub(super) online_status: String,
    pub(super) task_desc: String,
    pub(super) owner: String,
}

/// goshift's states of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Running = 2,
    Cancelled = 3,
    Success = 4,
    Failed = 5,
}

/// The task table.
pub(super) struct TaskTable {
    endpoint: Endpoint,
}

impl TaskTable {
    /// The table of `url`, or of the configuration's `task_meta`. Nothing is opened yet.
    ///
    /// # Errors
    /// When neither is there, or a variable is missing.
    pub(super) async fn open(url: Option<&str>, folder: Option<&Folder>) -> Result<TaskTable, Error> {
        let url = match (url, folder.and_then(|folder| folder.task_meta.as_ref())) {
            (Some(url), _) => url.to_owned(),
            (None, Some(meta)) => {
                // A file of SQLite may itself be named by a variable.
                let variable = meta.keys.get("db").filter(|_| meta.kind == "sqlite");
                match variable {
                    Some(Text::Variable(name)) => format!("sqlite://${{{name}}}"),
                    Some(Text::Plain(_)) | None => meta.url().map_err(|error| {
                        Error::wrong(format!("task_meta: {error}"), "correct it, or give --from URL")
                    })?,
                }
            }
            (None, None) => {
                return Err(Error::wrong(
                    "the configuration has no task_meta",
                    "give the task database with --from mysql://USER:${PASSWORD}@HOST/DB",
                ));
            }
        };
        let registry = Registry::new(BTreeMap::from([(NAME.to_owned(), Settings::new(url))]));
        let endpoint = registry.get(NAME).map_err(|error| {
            Error::wrong(error.to_string(), "set the variables of the task database in this shell")
        })?;
        Ok(TaskTable { endpoint })
    }

    async fn connect(&self, read_only: bool) -> Result<Box<dyn Connection>, Error> {
        db::open(&self.endpoint, read_only).await.map_err(|error| self.refused("reach it", &error))
    }

    fn refused(&self, doing: &str, error: &DbError) -> Error {
        let next = match error.class {
            Class::Missing => "name the database that holds goshift's task table",
            Class::Denied => "check user and password, and that the account may read and update the table",
            Class::Lost | Class::Busy => "check that the server runs and can be reached from here",
            Class::Row | Class::Other => "the message is the database's own",
        };
        Error::wrong(format!("task database {}: cannot {doing}: {error}", self.endpoint.shown()), next)
    }

    /// The rows with these ids, all with none, by id.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn rows(&self, ids: &[u64]) -> Result<Vec<Row>, Error> {
        let mut connection = self.connect(true).await?;
        let columns = COLUMNS.join(", ");
        let only = match ids {
            [] => String::new(),
            ids => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                format!(" WHERE id IN ({})", ids.join(", "))
            }
        };
        let sql = format!("SELECT {columns} FROM {TABLE}{only} ORDER BY id");
        let rows =
            connection.query(&sql).await.map_err(|error| self.refused("read task_def_sync_manager", &error));
        connection.close().await;
        rows?.into_iter().map(row).collect()
    }

    /// Writes the state of a task.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub(super) async fn put_status(&mut self, id: &str, status: Status) -> Result<(), Error> {
        let mut connection = self.connect(false).await?;
        let text = connection.dialect().text(&(status as u8).to_string());
        let id = connection.dialect().text(id);
        let sql = format!("UPDATE {TABLE} SET task_status = {text} WHERE id = {id}");
        let written =
            connection.execute(&sql).await.map_err(|error| self.refused("write task_status", &error));
        connection.close().await;
        written.map(drop)
    }
}

fn row(cells: TextRow) -> Result<Row, Error> {
    let mut cells = cells.into_iter().map(Option::unwrap_or_default);
    let mut next = || {
        cells.next().ok_or_else(|| {
            Error::wrong("the task table answered too few columns", "compare it with goshift's CREATE TABLE")
        })
    };
    Ok(Row {
        id: next()?,
        from_app: next()?,
        from_db_type: next()?,
        from_db: next()?,
        from_table: next()?,
        to_app: next()?,
        to_db_type: next()?,
        to_db: next()?,
        to_table: next()?,
        params: next()?,
        online_status: next()?,
        task_desc: next()?,
        owner: next()?,
    })
}
