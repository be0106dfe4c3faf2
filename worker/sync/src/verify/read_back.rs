//! The rows of the target read back as they were copied, and hashed as the copy hashed them, here or by the server: what
//! the copy read is known by its digest, so the source is counted and not read again.
//!
//! In: a table's plan, the conditions for the rows of a piece. Out: their digest. Never: rows hashed in another way than
//! the copy hashed them.
//! Tests: `digest`; `worker/sync/tests/databases/verify.rs`.

use super::frame::End;
use super::scan;
use crate::db::{Connection, DbError, Engine, Order, RowSink, Select, SelectParts};
use crate::digest::{CellHasher, RowDigest, Way, forms, raw_hash};
use crate::plan::TablePlan;
use crate::schema::{CellForm, Column};
use std::ops::ControlFlow;

/// How the rows of a piece are read back.
pub(super) struct ReadBack<'a> {
    target: &'a End,
    sql: String,
    columns: Vec<Column>,
    forms: Vec<CellForm>,
    way: Way,
}

impl<'a> ReadBack<'a> {
    /// All rows of `target`, as a copy from `from` hashed them.
    pub(super) fn new(plan: &TablePlan, from: Engine, target: &'a End, way: Way) -> ReadBack<'a> {
        let (dialect, raw) = (target.dialect, way != Way::Cells);
        let columns: Vec<Column> = plan.columns.iter().map(|pair| pair.target.clone()).collect();
        let expr = |column: &Column| {
            if raw { dialect.ident(&column.name) } else { dialect.select_expr(column) }
        };
        let sql = dialect.select(&SelectParts {
            table: &target.table,
            exprs: &columns.iter().map(expr).collect::<Vec<_>>(),
            filters: &target.conditions,
            order: &[],
            direction: Order::Up,
            limit: None,
            offset: 0,
            keyset: false,
        });
        let forms = forms(&plan.columns, from, dialect.engine());
        ReadBack { target, sql, columns, forms, way }
    }

    /// Reads them.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn digest(&self, session: &mut dyn Connection) -> Result<RowDigest, DbError> {
        if self.way == Way::Server {
            let sums = scan::sums(session, self.target, 1).await?;
            let sum = sums.first().copied().unwrap_or_default();
            return Ok(RowDigest::of(self.way, sum.rows, sum.hashes));
        }
        let digest = RowDigest::new(self.way);
        let mut sink = Hashed { forms: &self.forms, at: 0, hasher: CellHasher::default(), digest };
        let select = Select { sql: &self.sql, columns: &self.columns, raw: self.way == Way::Bytes };
        session.read(select, &mut sink).await?;
        Ok(sink.digest)
    }
}

/// Hashes what is read.
struct Hashed<'a> {
    forms: &'a [CellForm],
    at: usize,
    hasher: CellHasher,
    digest: RowDigest,
}

impl RowSink for Hashed<'_> {
    fn cell(&mut self, value: Option<&[u8]>) {
        let form = self.forms.get(self.at).copied().unwrap_or(CellForm::Same);
        self.hasher.cell(form, value);
        self.at += 1;
    }

    fn end_row(&mut self) -> ControlFlow<()> {
        self.at = 0;
        self.digest.add(self.hasher.end_row());
        ControlFlow::Continue(())
    }

    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
        self.digest.add(raw_hash(row));
        ControlFlow::Continue(())
    }
}
