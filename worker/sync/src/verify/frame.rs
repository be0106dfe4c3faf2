//! The SQL by which the rows of both ends are looked at: each row is a place, a hash, and perhaps cells that no server
//! can hash in a way that the other one can.
//!
//! ```text
//!  place   hash of the key's texts (of the row's where there is no key): the same at both ends, whatever they
//!          order keys by. Rows are dealt into groups by it.
//!  hash    hash of the texts of all columns that both servers write alike
//!  cells   columns of other kinds: read, carried as the copy carries them, and hashed here
//! ```
//! In: a table's plan. Out: expressions and conditions of both ends. Never: an order of text, which servers
//! disagree about.
//! Tests: `worker/sync/tests/databases/verify.rs`.

use super::judge::Judge;
use crate::db::{Comparison, Dialect, Engine, Order, SelectParts, Side};
use crate::error::SyncError;
use crate::plan::{Key, Pair, Piece, TablePlan, compare};
use crate::schema::{Column, Kind, TableName, pair};
use shanty_model::kind::db_sync::OnLossy;

/// Keys that are looked for by one statement: SQLite nests no deeper than 1000 terms.
pub(super) const KEYS_AT_ONCE: usize = 200;

/// What of a row is hashed by the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Every column whose text both servers write alike.
    Servers,
    /// Nothing: all cells are read and carried as the copy carries them.
    Cells,
}

/// One end.
pub(super) struct End {
    pub(super) dialect: &'static dyn Dialect,
    pub(super) table: TableName,
    /// Columns that identify a row; empty when nothing does.
    pub(super) key: Vec<Column>,
    /// Conditions of all rows that are compared.
    pub(super) conditions: Vec<String>,
    place: String,
    hash: String,
    /// Columns whose cells are compared here.
    cells: Vec<Column>,
    pub(super) judge: Judge,
}

/// Both ends.
pub(super) struct Frame {
    pub(super) source: End,
    pub(super) target: End,
    /// Whether servers may hash equal rows differently: floating point across engines.
    pub(super) doubtful: bool,
}

impl Frame {
    /// The rows of `piece`, or of the whole table.
    ///
    /// # Errors
    /// `Permanent` when a column cannot go where it should; the plan has checked it, so the tables have changed.
    pub(super) fn new(
        plan: &TablePlan,
        ends: (&'static dyn Dialect, &'static dyn Dialect),
        piece: Option<&Piece>,
        how: How,
        on_lossy: OnLossy,
    ) -> Result<Frame, SyncError> {
        let (from, to) = ends;
        let texts = |pair: &Pair| hash_texts(ends, pair);
        let key: Option<Vec<(String, String)>> =
            keyed(plan).then(|| plan.key.iter().map(texts).collect()).flatten();
        let (mut hashed, mut cells) = (Vec::new(), Vec::new());
        for column in &plan.columns {
            match texts(column).filter(|_| how == How::Servers) {
                Some(texts) => hashed.push(texts),
                None => cells.push(column),
            }
        }
        let same = from.hash_family() == to.hash_family();
        let row_hash = |texts: &[(String, String)]| {
            if texts.is_empty() {
                return ("0".to_owned(), "0".to_owned());
            }
            let (here, there): (Vec<String>, Vec<String>) = texts.iter().cloned().unzip();
            (from.row_hash(&here, same), to.row_hash(&there, same))
        };
        let hash = row_hash(&hashed);
        // Without a key a row is where its hash says; in which columns it consists does not matter then.
        let place = match &key {
            Some(key) => row_hash(key),
            None => row_hash(&plan.columns.iter().filter_map(texts).collect::<Vec<_>>()),
        };
        let mut codecs = Vec::with_capacity(cells.len());
        for column in &cells {
            let codec = pair(from.engine(), &column.source, to.engine(), &column.target);
            codecs.push(codec.map_err(SyncError::Permanent)?);
        }
        let whole = Piece::default();
        let piece = piece.unwrap_or(&whole);
        let key = |end: fn(&Pair) -> &Column| -> Vec<Column> {
            if key.is_some() { plan.key.iter().map(|pair| end(pair).clone()).collect() } else { Vec::new() }
        };
        let kinds =
            |pairs: &[&Pair]| pairs.iter().map(|p| (p.source.kind.clone(), p.target.kind.clone())).collect();
        let nullable: Vec<bool> = cells.iter().map(|pair| pair.target.nullable).collect();
        let source = End {
            dialect: from,
            table: plan.source.clone(),
            key: key(|pair| &pair.source),
            conditions: piece.conditions(from, plan, None),
            place: place.0,
            hash: hash.0,
            cells: cells.iter().map(|pair| pair.source.clone()).collect(),
            judge: Judge::of_source(codecs, kinds(&cells), nullable, on_lossy),
        };
        let target = End {
            dialect: to,
            table: plan.target.name.clone(),
            key: key(|pair| &pair.target),
            conditions: range(to, plan, piece),
            place: place.1,
            hash: hash.1,
            cells: cells.iter().map(|pair| pair.target.clone()).collect(),
            judge: Judge::of_target(kinds(&cells)),
        };
        let is_float = |pair: &Pair| matches!(pair.source.kind, Kind::Float { .. });
        let doubtful = !same
            && how == How::Servers
            && plan.columns.iter().any(|pair| is_float(pair) && texts(pair).is_some());
        Ok(Frame { source, target, doubtful })
    }

    /// Whether rows are told apart by a key.
    pub(super) fn is_keyed(&self) -> bool {
        !self.source.key.is_empty()
    }
}

/// Whether the table has a key that both ends can be asked for.
fn keyed(plan: &TablePlan) -> bool {
    !plan.key.is_empty() && plan.key.len() == plan.order.len()
}

/// Texts of a column's values that are the same at both ends; none when one of them has none.
fn hash_texts(
    (from, to): (&'static dyn Dialect, &'static dyn Dialect),
    pair: &Pair,
) -> Option<(String, String)> {
    let same_engine = from.hash_family() == to.hash_family();
    let source = Side { column: &pair.source, other: &pair.target.kind, same_engine };
    let target = Side { column: &pair.target, other: &pair.source.kind, same_engine };
    Some((from.hash_text(&source)?, to.hash_text(&target)?))
}

/// The conditions for the rows of a piece in the target, whose keys have the same order there.
fn range(to: &dyn Dialect, plan: &TablePlan, piece: &Piece) -> Vec<String> {
    let key: Vec<&Column> = plan.key.iter().map(|pair| &pair.target).collect();
    [(&piece.lower, Comparison::After), (&piece.upper, Comparison::UpTo)]
        .into_iter()
        .filter_map(|(bound, comparison)| Some(compare(to, &key, bound.as_ref()?, comparison)))
        .collect()
}

impl End {
    /// Whether the server alone can sum the hashes up.
    pub(super) fn sums_alone(&self) -> bool {
        self.cells.is_empty()
    }

    /// Number of rows.
    pub(super) fn count(&self) -> String {
        self.select(&["COUNT(*)".to_owned()], &[], None)
    }

    /// Per group: its number, rows, and the sum of their hashes, where SQLite gives it in two halves. Without groups
    /// there is one answer, also for no rows.
    pub(super) fn sums(&self, groups: u64) -> String {
        let group = self.group(groups);
        let mut sql = match self.dialect.engine() {
            // Its sums have 64 bits and fail beyond. The limit keeps it from making the hash anew for each half.
            Engine::Sqlite => {
                let inner = [group, self.hash.clone()];
                let rows = self.select(&inner, &[], Some(u64::MAX >> 1));
                let group = if groups > 1 { "g" } else { "0" };
                format!(
                    "WITH q(g, h) AS ({rows}) SELECT {group}, COUNT(*), SUM(h >> 30), SUM(h & 1073741823) FROM q"
                )
            }
            Engine::Mysql | Engine::Postgres => {
                self.select(&[group, "COUNT(*)".to_owned(), format!("SUM({})", self.hash)], &[], None)
            }
        };
        if groups > 1 {
            sql.push_str(" GROUP BY 1");
        }
        sql
    }

    /// Columns of the answer of [`End::sums`].
    pub(super) fn sums_columns(&self) -> Vec<Column> {
        let halves = if self.dialect.engine() == Engine::Sqlite { 4 } else { 3 };
        vec![number(); halves]
    }

    fn group(&self, groups: u64) -> String {
        if groups > 1 { format!("({} % {groups})", self.place) } else { "0".to_owned() }
    }

    /// Whether a row's group is known only here: without a key its place is all of it, and a part of that is cells.
    pub(super) fn grouped_here(&self) -> bool {
        self.key.is_empty() && !self.cells.is_empty()
    }

    /// The condition for the rows of some of `groups`; none where the server does not know them.
    pub(super) fn in_groups(&self, groups: u64, numbers: &[u64]) -> Vec<String> {
        if groups <= 1 || self.grouped_here() {
            return Vec::new();
        }
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        vec![format!("{} IN ({})", self.group(groups), numbers.join(","))]
    }

    /// The condition for the rows with some keys; at most [`KEYS_AT_ONCE`].
    pub(super) fn with_keys<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Vec<String> {
        let key: Vec<&Column> = self.key.iter().collect();
        let each = keys.into_iter().map(|values| compare(self.dialect, &key, values, Comparison::Equal));
        vec![format!("({})", each.collect::<Vec<_>>().join(" OR "))]
    }

    /// Each row: its key if `keys`, place, hash, cells.
    pub(super) fn rows(&self, keys: bool, more: &[String]) -> String {
        let key = self.key.iter().filter(|_| keys).map(|column| self.dialect.key_select(column));
        let own = [self.place.clone(), self.hash.clone()];
        let cells = self.cells.iter().map(|column| self.dialect.select_expr(column));
        self.select(&key.chain(own).chain(cells).collect::<Vec<_>>(), more, None)
    }

    /// Columns of the answer of [`End::rows`].
    pub(super) fn rows_columns(&self, keys: bool) -> Vec<Column> {
        let text = |column: &Column| Column { kind: Kind::Text { limit: None }, ..column.clone() };
        let key = self.key.iter().filter(|_| keys).map(text);
        key.chain([number(), number()]).chain(self.cells.iter().cloned()).collect()
    }

    fn select(&self, exprs: &[String], more: &[String], limit: Option<u64>) -> String {
        let filters: Vec<String> = self.conditions.iter().chain(more).cloned().collect();
        self.dialect.select(&SelectParts {
            table: &self.table,
            exprs,
            filters: &filters,
            order: &[],
            direction: Order::Up,
            limit,
            offset: 0,
            keyset: false,
        })
    }
}

/// A column of an answer that holds a number.
fn number() -> Column {
    Column {
        name: "number".to_owned(),
        native: "bigint".to_owned(),
        kind: Kind::Int { bits: 64, unsigned: false },
        nullable: true,
        generated: false,
        auto: false,
        default: None,
        collation: None,
    }
}
