//! The rows of the target read back as they were copied, and hashed as the copy hashed them, here or by the server: what
//! the copy read is known by its digest, so the source is counted and not read again.
//!
//! In: a table's plan, the conditions for the rows of a piece. Out: their digest. Never: rows hashed in another way than
//! the copy hashed them.
//! Tests: `digest`; `worker/sync/tests/databases/verify.rs`.

use super::frame::End;
use super::scan::{low, unreadable};
use crate::db::{Connection, DbError, Dialect, Engine, Order, RowSink, Select, SelectParts, Side};
use crate::digest::{CellHasher, RowDigest, Way, forms, raw_hash};
use crate::plan::TablePlan;
use crate::schema::{CellForm, Column};
use std::ops::ControlFlow;

/// How the rows of a piece are read back.
pub(super) struct ReadBack {
    sql: String,
    columns: Vec<Column>,
    forms: Vec<CellForm>,
    way: Way,
}

impl ReadBack {
    /// All rows of `target`, as a copy from `from` hashed them.
    pub(super) fn new(plan: &TablePlan, from: Engine, target: &End, way: Way) -> ReadBack {
        let dialect = target.dialect;
        let columns: Vec<Column> = plan.columns.iter().map(|pair| pair.target.clone()).collect();
        let exprs = match way {
            Way::Cells => columns.iter().map(|column| dialect.select_expr(column)).collect(),
            Way::Bytes => columns.iter().map(|column| dialect.ident(&column.name)).collect(),
            Way::Server => sums(dialect, &columns),
        };
        let sql = dialect.select(&SelectParts {
            table: &target.table,
            exprs: &exprs,
            filters: &target.conditions,
            order: &[],
            direction: Order::Up,
            limit: None,
            offset: 0,
            keyset: false,
        });
        let forms = forms(&plan.columns, from, dialect.engine());
        ReadBack { sql, columns, forms, way }
    }

    /// Reads them, or has them summed up.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn digest(&self, session: &mut dyn Connection) -> Result<RowDigest, DbError> {
        if self.way == Way::Server {
            let answer = session.query(&self.sql).await?;
            let number = |at: usize| answer.first()?.get(at)?.as_deref().unwrap_or("0").parse::<u128>().ok();
            let (rows, sum) = number(0).zip(number(1)).ok_or_else(unreadable)?;
            return Ok(RowDigest::of(self.way, low(rows), low(sum)));
        }
        let digest = RowDigest::new(self.way);
        let mut sink = Hashed { forms: &self.forms, at: 0, hasher: CellHasher::default(), digest };
        let select = Select { sql: &self.sql, columns: &self.columns, raw: self.way == Way::Bytes };
        session.read(select, &mut sink).await?;
        Ok(sink.digest)
    }
}

/// How many rows, and the sum of the hashes that the server has for them.
fn sums(dialect: &dyn Dialect, columns: &[Column]) -> Vec<String> {
    let part = |column| dialect.hash_text(&Side { column, other: &column.kind, same_engine: true });
    let parts: Vec<String> = columns.iter().filter_map(part).collect();
    vec!["COUNT(*)".to_owned(), format!("SUM({})", dialect.row_hash(&parts, true))]
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
