//! What becomes of one table: which columns go where, by which key, in which types. Pure.
//!
//! In: the spec, both descriptions. Out: a [`TablePlan`], or everything that is wrong with the table in words that name
//! the field and what helps.
//! Tests: below; `worker/sync/tests/`.

use super::names::near_words;
use super::table_plan::{Duplicate, Pair, TablePlan};
use crate::db::{Dialect, Engine};
use crate::schema::{Column, Index, Kind, Table, TableName, pair, target_key_kind, target_kind};
use shanty_model::id::nearest;
use shanty_model::kind::db_sync::{Mode, OnExisting, Spec, VerifyBy};

/// Both ends of a table.
pub(super) struct Ends<'a> {
    pub(super) spec: &'a Spec,
    pub(super) from: &'static dyn Dialect,
    pub(super) to: &'static dyn Dialect,
    pub(super) source: &'a Table,
    /// The target as it is; none when it is not there.
    pub(super) target: Option<&'a Table>,
    /// The target's name with its schema.
    pub(super) target_name: TableName,
}

impl Ends<'_> {
    fn engines(&self) -> (Engine, Engine) {
        (self.from.engine(), self.to.engine())
    }

    /// The plan of table number `number`.
    ///
    /// # Errors
    /// In words.
    pub(super) fn resolve(&self, number: u32) -> Result<TablePlan, String> {
        let chosen = self.chosen_columns()?;
        let key = self.key(&chosen)?;
        let target = match self.target {
            Some(target) => self.checked(target)?.clone(),
            None => self.created(&chosen)?,
        };
        let columns = self.pairs(&chosen, &target)?;
        let key = self.key_pairs(&key, &columns)?;
        let order =
            if key.is_empty() { self.rowid() } else { key.iter().map(|p| p.source.clone()).collect() };
        let order =
            if order.iter().all(|column| self.from.key_expr(column).is_some()) { order } else { Vec::new() };
        let diff = self.diff(&columns)?;
        let on_duplicate = match (self.spec.mode, self.spec.on_existing) {
            (Mode::Incremental, _) => Duplicate::ReplaceOlder,
            (Mode::Full, OnExisting::Upsert) => Duplicate::Replace,
            (Mode::Full, OnExisting::Fail | OnExisting::Truncate) => Duplicate::Fail,
        };
        if on_duplicate != Duplicate::Fail {
            self.check_upsert(&key, &target)?;
        }
        // Rows are told apart by the source's key, unless values change on the way.
        let exact = |name: &String| {
            let found = columns.iter().find(|pair| pair.target.name == *name);
            let (from, to) = self.engines();
            found.is_some_and(|p| pair(from, &p.source, to, &p.target).is_ok_and(|codec| codec.is_identity()))
        };
        let key_later = self.target.is_none()
            && on_duplicate == Duplicate::Fail
            && self.to.create_key(&target).is_some()
            && target.primary_key.iter().all(exact);
        let names = |columns: &[Column]| columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let mut left_out = if self.target.is_none() { self.source.left_out.clone() } else { Vec::new() };
        left_out.sort();
        Ok(TablePlan {
            table: number,
            source: self.source.name.clone(),
            source_engine: self.from.engine().into(),
            primary: !order.is_empty() && names(&order) == self.source.primary_key,
            verify_by: self.verify_by(&key, &order),
            columns,
            key,
            order,
            filters: if self.spec.condition.is_empty() {
                Vec::new()
            } else {
                vec![format!("({})", self.spec.condition)]
            },
            diff,
            on_duplicate,
            creates: self.target.is_none(),
            key_later,
            truncates: self.spec.on_existing == OnExisting::Truncate && self.target.is_some(),
            rows_estimated: self.source.rows,
            left_out,
            target,
            watermark: None,
            stream: None,
            since: None,
            window: None,
        })
    }

    fn chosen_columns(&self) -> Result<Vec<(&Column, String)>, String> {
        if self.spec.columns.is_empty() {
            let all = self.source.columns.iter().filter(|column| !column.generated);
            return Ok(all.map(|column| (column, column.name.clone())).collect());
        }
        self.spec
            .columns
            .iter()
            .enumerate()
            .map(|(i, map)| {
                let column = self.source_column(&map.source, &format!("columns[{i}].source"))?;
                let name = if map.target.is_empty() { column.name.clone() } else { map.target.clone() };
                Ok((column, name))
            })
            .collect()
    }

    fn source_column(&self, name: &str, field: &str) -> Result<&Column, String> {
        self.source.column(name).ok_or_else(|| {
            let near = nearest(name, self.source.columns.iter().map(|column| column.name.as_str()));
            format!("{field}: {} has no column `{name}`{}", self.source.name, near_words(&near))
        })
    }

    /// Names of the key's columns: as asked for, or the primary key, or a unique index without NULL.
    fn key(&self, chosen: &[(&Column, String)]) -> Result<Vec<String>, String> {
        let spec = self.spec;
        if !spec.key.is_empty() {
            for (i, name) in spec.key.iter().enumerate() {
                let column = self.source_column(name, &format!("key[{i}]"))?;
                if self.from.key_expr(column).is_none() {
                    return Err(format!(
                        "key[{i}]: values of `{name}` ({}) have no exact order; choose other columns",
                        column.native
                    ));
                }
                if column.nullable {
                    return Err(format!("key[{i}]: `{name}` may be NULL; choose columns that are NOT NULL"));
                }
            }
            if !self.is_unique(&spec.key) {
                return Err(format!(
                    "key: {} has no primary key or unique index over ({}); rows would not be told apart",
                    self.source.name,
                    spec.key.join(", ")
                ));
            }
            return Ok(spec.key.clone());
        }
        let usable = |names: &[String]| {
            !names.is_empty()
                && names.iter().all(|name| {
                    let column = self.source.column(name);
                    column.is_some_and(|column| !column.nullable && self.from.key_expr(column).is_some())
                        && chosen.iter().any(|(column, _)| column.name == *name)
                })
        };
        if usable(&self.source.primary_key) {
            return Ok(self.source.primary_key.clone());
        }
        let unique = self.source.indexes.iter().filter(|index| is_plain_unique(index)).map(index_names);
        Ok(unique.into_iter().find(|names| usable(names)).unwrap_or_default())
    }

    fn is_unique(&self, key: &[String]) -> bool {
        let same = |names: &[String]| names.len() == key.len() && names.iter().all(|name| key.contains(name));
        same(&self.source.primary_key)
            || self.source.indexes.iter().any(|index| is_plain_unique(index) && same(&index_names(index)))
    }

    /// SQLite's hidden row number, which orders a table without a key.
    fn rowid(&self) -> Vec<Column> {
        let column = self.source.rowid.as_ref().map(|name| Column {
            name: name.clone(),
            native: "INTEGER".to_owned(),
            kind: Kind::Int { bits: 64, unsigned: false },
            nullable: false,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        });
        column.into_iter().collect()
    }

    /// An existing target that may be written to.
    fn checked<'t>(&self, target: &'t Table) -> Result<&'t Table, String> {
        if target.view {
            return Err(format!("target.table: {} is a view; give a table", target.name));
        }
        if !target.transactional {
            return Err(format!(
                "target.table: {} takes no part in transactions, so rows could not be written exactly once; \
                 convert it with ALTER TABLE … ENGINE=InnoDB",
                target.name
            ));
        }
        if let Some(hindrance) = target.hindrances.first() {
            return Err(format!(
                "target.table: {}: {hindrance}; rows would not arrive as they were sent. Disable it for the sync",
                target.name
            ));
        }
        Ok(target)
    }

    /// The target table that is to be made.
    fn created(&self, chosen: &[(&Column, String)]) -> Result<Table, String> {
        if !self.spec.creates_table() {
            return Err(format!(
                "target.table: {} does not exist in `{}`; create it, or allow create_table",
                self.target_name, self.spec.target.connection
            ));
        }
        let (from, to) = self.engines();
        let renamed = |name: &String| {
            chosen.iter().find(|(column, _)| column.name == *name).map(|(_, target)| target.clone())
        };
        let all = |names: &[String]| names.iter().map(renamed).collect::<Option<Vec<String>>>();
        let indexes: Vec<Index> = self
            .source
            .indexes
            .iter()
            .filter_map(|index| {
                let names = all(&index_names(index))?;
                let columns =
                    index.columns.iter().zip(names).map(|(column, name)| crate::schema::IndexColumn {
                        name,
                        prefix: column.prefix.filter(|_| from == to),
                        ..column.clone()
                    });
                Some(Index { columns: columns.collect(), ..index.clone() })
            })
            .collect();
        let primary_key = all(&self.source.primary_key).unwrap_or_default();
        let indexed = |name: &String| {
            primary_key.contains(name) || indexes.iter().any(|index| index_names(index).contains(name))
        };
        let mut columns = Vec::with_capacity(chosen.len());
        for (column, name) in chosen {
            let kind =
                if indexed(name) { target_key_kind(from, column, to) } else { target_kind(from, column, to) };
            columns.push(Column {
                name: name.clone(),
                native: String::new(),
                kind: kind
                    .map_err(|error| format!("column {} of {}: {error}", column.name, self.source.name))?,
                default: column.default.clone().filter(|_| from == to),
                collation: column.collation.clone().filter(|_| from == to),
                generated: false,
                ..(*column).clone()
            });
        }
        Ok(Table {
            name: self.target_name.clone(),
            columns,
            primary_key,
            indexes,
            rows: Some(0),
            bytes: None,
            transactional: true,
            view: false,
            hindrances: Vec::new(),
            left_out: Vec::new(),
            rowid: None,
        })
    }

    /// Source columns with their target columns.
    fn pairs(&self, chosen: &[(&Column, String)], target: &Table) -> Result<Vec<Pair>, String> {
        let (from, to) = self.engines();
        let mut pairs = Vec::with_capacity(chosen.len());
        for (source, name) in chosen {
            let column = target.column(name).ok_or_else(|| {
                let near = nearest(name, target.columns.iter().map(|column| column.name.as_str()));
                format!(
                    "columns: {} has no column `{name}` for `{}`{}; add it, or name the columns to copy",
                    target.name,
                    source.name,
                    near_words(&near)
                )
            })?;
            if column.generated {
                return Err(format!(
                    "columns: `{}` of {} is computed by the target; leave it out",
                    name, target.name
                ));
            }
            pair(from, source, to, column).map_err(|error| format!("columns: {error}"))?;
            pairs.push(Pair { source: (*source).clone(), target: column.clone() });
        }
        let missing = target.columns.iter().find(|column| {
            let given = pairs.iter().any(|pair| pair.target.name == column.name);
            !given && !column.nullable && !column.generated && !column.auto && column.default.is_none()
        });
        match missing {
            Some(column) => Err(format!(
                "columns: `{}` of {} must not be NULL, has no default, and nothing is copied into it",
                column.name, target.name
            )),
            None => Ok(pairs),
        }
    }

    fn key_pairs(&self, key: &[String], columns: &[Pair]) -> Result<Vec<Pair>, String> {
        let mut pairs = Vec::with_capacity(key.len());
        for (i, name) in key.iter().enumerate() {
            let copied = columns.iter().find(|pair| pair.source.name == *name);
            let found = match self.spec.target.key.get(i) {
                Some(target) => columns
                    .iter()
                    .find(|pair| pair.source.name == *name && pair.target.name == *target)
                    .ok_or_else(|| {
                        format!("target.key[{i}]: `{name}` is not copied into `{target}`; say so in columns")
                    })?,
                None => {
                    copied.ok_or_else(|| format!("key[{i}]: `{name}` is not among the columns to copy"))?
                }
            };
            pairs.push(found.clone());
        }
        Ok(pairs)
    }

    fn diff(&self, columns: &[Pair]) -> Result<Option<Pair>, String> {
        let Some(diff) = &self.spec.diff_column else { return Ok(None) };
        let source = self.source_column(&diff.source, "diff_column.source")?;
        let found = columns.iter().find(|pair| {
            pair.source.name == source.name && (diff.target.is_empty() || pair.target.name == diff.target)
        });
        let found = found
            .ok_or_else(|| format!("diff_column: `{}` must be among the columns to copy", diff.source))?;
        match found.source.kind {
            Kind::Int { .. }
            | Kind::Decimal { .. }
            | Kind::Date
            | Kind::DateTime { .. }
            | Kind::Timestamp { .. } => Ok(Some(found.clone())),
            _ => Err(format!(
                "diff_column.source: `{}` ({}) is neither a time nor a number that grows",
                diff.source, found.source.native
            )),
        }
    }

    /// Replacing rows needs a key that both ends enforce.
    fn check_upsert(&self, key: &[Pair], target: &Table) -> Result<(), String> {
        if key.is_empty() {
            return Err(format!(
                "key: {} has no key by which rows in the target could be replaced; give key, or use mode FULL with \
                 on_existing TRUNCATE",
                self.source.name
            ));
        }
        let names: Vec<&String> = key.iter().map(|pair| &pair.target.name).collect();
        let same =
            |other: &[String]| other.len() == names.len() && names.iter().all(|name| other.contains(name));
        let unique = same(&target.primary_key)
            || target.indexes.iter().any(|index| is_plain_unique(index) && same(&index_names(index)));
        if unique {
            return Ok(());
        }
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        Err(format!(
            "target.key: {} has no primary key or unique index over ({}); create one",
            target.name,
            names.join(", ")
        ))
    }

    /// Ranges can be compared one by one where both ends order keys alike.
    fn verify_by(&self, key: &[Pair], order: &[Column]) -> VerifyBy {
        let (from, to) = self.engines();
        let alike = |pair: &Pair| match (&pair.source.kind, &pair.target.kind) {
            (Kind::Int { .. } | Kind::Year, Kind::Int { .. } | Kind::Year) => true,
            (a, b) => {
                let text = matches!(a, Kind::Text { .. } | Kind::Char { .. });
                from == to
                    && a == b
                    && !matches!(a, Kind::Enum { .. } | Kind::Set { .. })
                    && (!text || (from == Engine::Mysql && pair.source.collation == pair.target.collation))
            }
        };
        let ordered_by_key = key.len() == order.len() && !key.is_empty();
        if self.spec.mode == Mode::Full && ordered_by_key && key.iter().all(alike) {
            VerifyBy::Part
        } else {
            VerifyBy::Whole
        }
    }
}

fn index_names(index: &Index) -> Vec<String> {
    index.columns.iter().map(|column| column.name.clone()).collect()
}

/// Whether an index tells rows apart by whole columns.
fn is_plain_unique(index: &Index) -> bool {
    index.unique && index.columns.iter().all(|column| column.prefix.is_none())
}
