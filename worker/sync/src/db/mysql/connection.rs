//! One session as the seam's [`Connection`].
//!
//! In: calls of the seam. Out: calls of the rooms beside it. Never: a reconnect, a retry.
//! Tests: `worker/sync/tests/databases/mysql.rs`.

use super::session::Session;
use super::{DIALECT, catalog, clock, grants, load, read};
use crate::db::{Connection, DbError, Dialect, Load, Loaded, RowSink, Rows, Select, TextRow};
use crate::schema::{Column, Table, TableName};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// A connection to MySQL, MariaDB or TiDB.
pub(super) struct MysqlConnection {
    session: Session,
}

impl MysqlConnection {
    pub(super) fn new(session: Session) -> MysqlConnection {
        MysqlConnection { session }
    }
}

impl Connection for MysqlConnection {
    fn dialect(&self) -> &'static dyn Dialect {
        &DIALECT
    }

    fn backend(&self) -> Option<String> {
        Some(self.session.id.clone())
    }

    fn server(&self) -> String {
        self.session.server.clone()
    }

    fn query<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Vec<TextRow>, DbError>> {
        Box::pin(self.session.query(sql))
    }

    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<u64, DbError>> {
        Box::pin(self.session.execute(sql))
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(async { self.session.execute("START TRANSACTION").await.map(drop) })
    }

    // How a commit is made durable is a setting of the server as a whole: nothing is relaxed.
    fn commit(&mut self, _durable: bool) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(async { self.session.execute("COMMIT AND NO CHAIN NO RELEASE").await.map(drop) })
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(async { self.session.execute("ROLLBACK AND NO CHAIN NO RELEASE").await.map(drop) })
    }

    fn tables<'a>(&'a mut self, schema: Option<&'a str>) -> BoxFuture<'a, Result<Vec<TableName>, DbError>> {
        Box::pin(catalog::tables(&mut self.session, schema))
    }

    fn describe<'a>(&'a mut self, table: &'a TableName) -> BoxFuture<'a, Result<Option<Table>, DbError>> {
        Box::pin(catalog::describe(&mut self.session, table))
    }

    fn estimate<'a>(
        &'a mut self,
        table: &'a TableName,
        filter: &'a str,
    ) -> BoxFuture<'a, Result<Option<u64>, DbError>> {
        Box::pin(clock::estimate(&mut self.session, table, filter))
    }

    fn histogram<'a>(
        &'a mut self,
        _table: &'a TableName,
        _column: &'a Column,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn identity(&mut self) -> BoxFuture<'_, Result<String, DbError>> {
        Box::pin(catalog::identity(&mut self.session))
    }

    fn missing_privileges<'a>(
        &'a mut self,
        table: &'a TableName,
        write: bool,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>> {
        Box::pin(grants::missing(&mut self.session, table, write))
    }

    fn safe_upper<'a>(
        &'a mut self,
        table: &'a TableName,
        column: &'a Column,
    ) -> BoxFuture<'a, Result<(Option<String>, Option<String>), DbError>> {
        Box::pin(clock::safe_upper(&mut self.session, table, column))
    }

    fn lag(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DbError>> {
        Box::pin(clock::lag(&mut self.session))
    }

    fn read<'a>(
        &'a mut self,
        select: Select<'a>,
        sink: &'a mut dyn RowSink,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(read::read(&mut self.session, select, sink))
    }

    fn load<'a>(
        &'a mut self,
        load: &'a Load,
        rows: Rows<'a>,
        count: u64,
    ) -> BoxFuture<'a, Result<Loaded, DbError>> {
        Box::pin(load::load(&mut self.session, load, rows, count))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // The session ends either way.
            drop(self.session.conn.disconnect().await);
        })
    }
}
