//! How a table's rows are read and encoded: made once per shard from the table's plan.
//!
//! In: a plan, a piece, both dialects. Out: the SELECT of a page, codecs, the load.

use super::page::RowForm;
use crate::db::{Connection, Dialect, Load, Order, SelectParts};
use crate::digest::{Hashing, Sent};
use crate::error::SyncError;
use crate::plan::{By, Key, Piece, TablePlan};
use crate::schema::{Column, Kind, pair};
use shanty_model::kind::db_sync::OnLossy;

/// A table's rows on their way.
pub struct Form {
    /// How cells become payload.
    pub rows: RowForm,
    /// What is selected, in words of the source's columns: the data, then keys that are not among it.
    pub columns: Vec<Column>,
    /// Whether rows pass as the source's own bytes.
    pub raw: bool,
    /// Where they go.
    pub load: Load,
    exprs: Vec<String>,
    order: Vec<String>,
}

impl Form {
    /// The form of a piece; with `digests` its rows are hashed on the way.
    ///
    /// # Errors
    /// `Permanent` when a column cannot go where it should; the plan has checked it, so the tables have changed.
    pub fn new(
        plan: &TablePlan,
        piece: &Piece,
        source: &dyn Connection,
        target: &dyn Connection,
        on_lossy: OnLossy,
        digests: bool,
    ) -> Result<Form, SyncError> {
        let (from, to) = (source.dialect(), target.dialect());
        let sources: Vec<Column> = plan.columns.iter().map(|pair| pair.source.clone()).collect();
        let targets: Vec<Column> = plan.columns.iter().map(|pair| pair.target.clone()).collect();
        let mut codecs = Vec::with_capacity(plan.columns.len());
        for column in &plan.columns {
            codecs.push(
                pair(from.engine(), &column.source, to.engine(), &column.target)
                    .map_err(SyncError::Permanent)?,
            );
        }
        let (mut columns, mut exprs): (Vec<Column>, Vec<String>) =
            (sources.clone(), sources.iter().map(|column| from.select_expr(column)).collect());
        let order = piece.order(plan);
        let mut key_at = Vec::with_capacity(order.len());
        for key in &order {
            let expr = from.key_select(key);
            let at = match exprs.iter().position(|known| *known == expr) {
                Some(at) if !columns.get(at).is_some_and(|column| column.kind.is_bytes()) => at,
                _ => {
                    exprs.push(expr);
                    columns.push(Column { kind: Kind::Text { limit: None }, ..(*key).clone() });
                    exprs.len() - 1
                }
            };
            key_at.push(at);
        }
        let raw_at: Option<Vec<usize>> =
            order.iter().map(|key| sources.iter().position(|column| column.name == key.name)).collect();
        let raw = codecs.iter().all(crate::schema::Codec::is_identity)
            && from.engine() == to.engine()
            && raw_at.as_ref().is_some_and(|key| from.raw_compatible(&sources, &targets, key));
        if let (true, Some(raw_at)) = (raw, raw_at) {
            columns.truncate(sources.len());
            exprs = sources.iter().map(|column| from.ident(&column.name)).collect();
            key_at = raw_at;
        }
        let encoder = to.raw_encoder(&targets).unwrap_or_else(|| to.encoder(&targets));
        let sent = match (raw, encoder.is_raw()) {
            (true, _) => Sent::Passed,
            (false, true) => Sent::Raw,
            (false, false) => Sent::Encoded,
        };
        let (names, nullable) = RowForm::names_of(&plan.columns);
        let rows = RowForm {
            codecs,
            encoder,
            names,
            nullable,
            key_at,
            key_columns: order.iter().map(|column| (*column).clone()).collect(),
            dialect: from,
            on_lossy,
            hashing: digests.then(|| Hashing::new(&plan.columns, from, to, sent)),
        };
        let load =
            Load { table: plan.target.name.clone(), columns: targets, on_duplicate: plan.on_duplicate() };
        let order = order.iter().map(|column| order_expr(from, column)).collect();
        Ok(Form { rows, columns, raw, load, exprs, order })
    }

    /// The SELECT of the page after `after`.
    #[must_use]
    pub fn page(
        &self,
        dialect: &dyn Dialect,
        plan: &TablePlan,
        piece: &Piece,
        after: Option<&Key>,
        limit: Option<u64>,
    ) -> String {
        dialect.select(&SelectParts {
            table: &plan.source,
            exprs: &self.exprs,
            filters: &piece.conditions(dialect, plan, after),
            order: &self.order,
            direction: Order::Up,
            limit,
            offset: 0,
            keyset: plan.primary && piece.by == By::Key,
        })
    }
}

/// What a column is ordered by.
#[must_use]
pub fn order_expr(dialect: &dyn Dialect, column: &Column) -> String {
    dialect.key_expr(column).unwrap_or_else(|| dialect.ident(&column.name))
}
