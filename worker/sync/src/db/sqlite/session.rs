//! One connection: a handle that goes to a blocking thread and comes back with each call.
//!
//! What is durable: a writer's file is in WAL mode with `synchronous=NORMAL`, so that commits go into the log in
//! order but are not waited for; a durable commit then waits until the log file and its folder are on the disk,
//! which covers every commit before it, whoever reads meanwhile. Where a file cannot have a log, each commit is
//! durable (`synchronous=FULL`).
//! In: SQL, rows. Out: answers, [`DbError`]. Never: a call without its handle; a handle in two places.
//! Tests: `worker/sync/tests/databases/sqlite.rs`.

use super::dialect::Sqlite;
use super::{catalog, cells, error, functions, place, read, replace, write};
use crate::db::{
    Class, Connection, DbError, Dialect, Endpoint, Load, Loaded, OnDuplicate, RowSink, Rows, Select, TextRow,
};
use crate::schema::{Column, Table, TableName};
use futures_util::future::BoxFuture;
use rusqlite::OpenFlags;
use shanty_rt::task::blocking;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for another writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a file.
pub(super) struct Session {
    /// None while a call has it, and for good after a call that panicked.
    handle: Option<rusqlite::Connection>,
    path: PathBuf,
    read_only: bool,
    /// Whether commits go into a log that has to be waited for.
    has_log: bool,
    /// Memory of the last load.
    spare: Vec<u8>,
}

impl Session {
    /// Opens a file; one that is missing is created unless `read_only`.
    ///
    /// # Errors
    /// [`DbError`] of class Missing, Denied, Busy or Other.
    pub(super) async fn open(endpoint: &Endpoint, read_only: bool) -> Result<Session, DbError> {
        let path = place::path(endpoint)?;
        let opened = blocking("opening a SQLite file", move || open(path, read_only)).await;
        opened.map_err(|_| error::lost())?
    }

    /// Runs work with the handle on a blocking thread.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut rusqlite::Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let mut handle = self.handle.take().ok_or_else(error::lost)?;
        let done = blocking("a call to SQLite", move || {
            let result = work(&mut handle);
            (handle, result)
        });
        let (handle, result) = done.await.map_err(|_| error::lost())?;
        self.handle = Some(handle);
        result
    }

    async fn statement(&mut self, sql: &'static str) -> Result<(), DbError> {
        self.run(move |handle| handle.execute_batch(sql).map_err(error::from)).await
    }
}

fn open(path: PathBuf, read_only: bool) -> Result<Session, DbError> {
    let shown = path.display().to_string();
    if read_only && !path.exists() {
        return Err(DbError::new(Class::Missing, format!("there is no file {shown}")));
    }
    let mode = if read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    };
    let named = |failed: rusqlite::Error| {
        let mut failed = error::from(failed);
        failed.message = format!("{shown}: {}", failed.message);
        failed
    };
    let handle = rusqlite::Connection::open_with_flags(&path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(named)?;
    handle.busy_timeout(PATIENCE).map_err(named)?;
    // Reads the file's head: what is no database is told here and not later.
    handle.query_row("PRAGMA schema_version", [], |_| Ok(())).map_err(named)?;
    let mut has_log = false;
    if read_only {
        handle.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY").map_err(named)?;
    } else {
        if handle.is_readonly("main").map_err(named)? {
            return Err(DbError::new(
                Class::Denied,
                format!("{shown} is not writable for this account: give it the right to write the file"),
            ));
        }
        let journal: String =
            handle.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(named)?;
        has_log = journal.eq_ignore_ascii_case("wal");
        let synchronous = if has_log { "NORMAL" } else { "FULL" };
        handle
            .execute_batch(&format!(
                "PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; \
                 PRAGMA cache_size = -32768"
            ))
            .map_err(named)?;
    }
    functions::register(&handle).map_err(named)?;
    Ok(Session { handle: Some(handle), path, read_only, has_log, spare: Vec::new() })
}

/// Waits until the log of a file, and its name in the folder, are on the disk. (The handle's locks are on other
/// files: closing this one lets go of none.)
fn sync_log(path: &Path) -> std::io::Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match File::open(&log) {
        Ok(file) => file.sync_all()?,
        // Nothing was ever written.
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(()),
        Err(failed) => return Err(failed),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn query(handle: &rusqlite::Connection, sql: &str) -> Result<Vec<TextRow>, DbError> {
    let mut statement = handle.prepare(sql).map_err(error::from)?;
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    let mut answer = Vec::new();
    let mut scratch = Vec::new();
    while let Some(row) = rows.next().map_err(error::from)? {
        let mut cells = Vec::with_capacity(width);
        for at in 0..width {
            let value = row.get_ref(at).map_err(error::from)?;
            let text = cells::text(value, false, &mut scratch).map(|text| String::from_utf8(text.to_vec()));
            cells.push(text.transpose().map_err(|_| {
                DbError::new(Class::Other, format!("value {} of the answer is no UTF-8", at + 1))
            })?);
        }
        answer.push(cells);
    }
    Ok(answer)
}

fn execute(handle: &rusqlite::Connection, sql: &str) -> Result<u64, DbError> {
    let before = handle.total_changes();
    let mut statement = handle.prepare(sql).map_err(error::from)?;
    let mut rows = statement.raw_query();
    while rows.next().map_err(error::from)?.is_some() {}
    // The count is that of the last statement that changed rows; this one may not have.
    Ok(if handle.total_changes() == before { 0 } else { handle.changes() })
}

impl Connection for Session {
    fn dialect(&self) -> &'static dyn Dialect {
        &Sqlite
    }

    fn backend(&self) -> Option<String> {
        None
    }

    fn server(&self) -> String {
        format!("SQLite {}", rusqlite::version())
    }

    fn query<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Vec<TextRow>, DbError>> {
        let sql = sql.to_owned();
        Box::pin(self.run(move |handle| query(handle, &sql)))
    }

    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<u64, DbError>> {
        let sql = sql.to_owned();
        Box::pin(self.run(move |handle| execute(handle, &sql)))
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), DbError>> {
        let sql = if self.read_only { "BEGIN" } else { "BEGIN IMMEDIATE" };
        Box::pin(self.statement(sql))
    }

    fn commit(&mut self, durable: bool) -> BoxFuture<'_, Result<(), DbError>> {
        let path = (durable && self.has_log).then(|| self.path.clone());
        Box::pin(self.run(move |handle| {
            handle.execute_batch("COMMIT").map_err(error::from)?;
            let Some(path) = path else { return Ok(()) };
            // The transaction is done in any case; whether it would survive is what is not known.
            sync_log(&path).map_err(|failed| {
                DbError::new(
                    Class::Lost,
                    format!("the log of {} could not be written out: {failed}", path.display()),
                )
            })
        }))
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(self.run(|handle| {
            if handle.is_autocommit() {
                return Ok(());
            }
            handle.execute_batch("ROLLBACK").map_err(error::from)
        }))
    }

    fn tables<'a>(&'a mut self, schema: Option<&'a str>) -> BoxFuture<'a, Result<Vec<TableName>, DbError>> {
        let schema = schema.unwrap_or("main").to_owned();
        Box::pin(self.run(move |handle| catalog::tables(handle, &schema)))
    }

    fn describe<'a>(&'a mut self, table: &'a TableName) -> BoxFuture<'a, Result<Option<Table>, DbError>> {
        let table = table.clone();
        Box::pin(self.run(move |handle| catalog::describe(handle, &table)))
    }

    fn estimate<'a>(
        &'a mut self,
        _table: &'a TableName,
        _filter: &'a str,
    ) -> BoxFuture<'a, Result<Option<u64>, DbError>> {
        Box::pin(async { Ok(None) })
    }

    fn histogram<'a>(
        &'a mut self,
        _table: &'a TableName,
        _column: &'a Column,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn identity(&mut self) -> BoxFuture<'_, Result<String, DbError>> {
        let path = self.path.clone();
        Box::pin(self.run(move |_| {
            catalog::identity(&path)
                .map_err(|failed| DbError::new(Class::Other, format!("{}: {failed}", path.display())))
        }))
    }

    fn missing_privileges<'a>(
        &'a mut self,
        _table: &'a TableName,
        write: bool,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>> {
        let path = self.path.clone();
        Box::pin(self.run(move |_| Ok(if write { catalog::missing_privileges(&path) } else { Vec::new() })))
    }

    fn safe_upper<'a>(
        &'a mut self,
        table: &'a TableName,
        column: &'a Column,
    ) -> BoxFuture<'a, Result<(Option<String>, Option<String>), DbError>> {
        let sql = catalog::largest(table, column);
        Box::pin(async move {
            let sql = sql?;
            let answer = self.run(move |handle| query(handle, &sql)).await?;
            let largest = answer.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
            let word = "SQLite does not tell which transactions are open: a row committed later with a smaller value \
                        is found only by the overlap";
            Ok((largest, Some(word.to_owned())))
        })
    }

    fn lag(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DbError>> {
        Box::pin(async { Ok(None) })
    }

    fn read<'a>(
        &'a mut self,
        select: Select<'a>,
        sink: &'a mut dyn RowSink,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            let (feed, batches) = read::channel(select);
            let work = self.run(move |handle| feed.run(handle));
            let (read, delivered) = futures_util::future::join(work, batches.deliver(select, sink)).await;
            // What the thread says comes first: it knows why there was nothing to deliver.
            read?;
            delivered
        })
    }

    fn load<'a>(
        &'a mut self,
        load: &'a Load,
        rows: Rows<'a>,
        count: u64,
    ) -> BoxFuture<'a, Result<Loaded, DbError>> {
        let (Rows::Encoded(bytes) | Rows::Raw(bytes)) = rows;
        let mut cells = std::mem::take(&mut self.spare);
        cells.clear();
        cells.extend_from_slice(bytes);
        let load = load.clone();
        Box::pin(async move {
            let work = move |handle: &mut rusqlite::Connection| {
                let result = match &load.on_duplicate {
                    OnDuplicate::Fail => write::insert(handle, &load, &cells, count),
                    OnDuplicate::Replace { key, newer } => {
                        replace::replace(handle, &load, key, newer.as_deref(), &cells, count)
                    }
                };
                result.map(|()| cells)
            };
            self.spare = self.run(work).await?;
            Ok(Loaded { rows: count })
        })
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // An open transaction is rolled back by closing; the last one to close folds the log into the file.
            if let Some(handle) = self.handle.take() {
                let _dropped = blocking("closing a SQLite file", move || drop(handle)).await;
            }
        })
    }
}
