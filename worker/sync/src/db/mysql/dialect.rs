//! The engine's SQL, as one object.
//!
//! In: names, columns, values. Out: SQL. Never: a decision that is not one of the rooms' beside it.
//! Tests: in those rooms.

use super::{ddl, encode::TextEncoder, hash, literals, types};
use crate::db::{Comparison, ControlTypes, Dialect, Engine, Order, RowEncoder, SelectParts, Side};
use crate::schema::{Column, Kind, Table};

/// SQL of MySQL, MariaDB and TiDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MysqlDialect;

/// The one there is.
pub static DIALECT: MysqlDialect = MysqlDialect;

impl Dialect for MysqlDialect {
    fn engine(&self) -> Engine {
        Engine::Mysql
    }

    fn ident(&self, name: &str) -> String {
        literals::ident(name)
    }

    fn text(&self, value: &str) -> String {
        literals::text(value)
    }

    fn literal(&self, column: &Column, value: &str) -> String {
        literals::literal(column, value)
    }

    fn select_expr(&self, column: &Column) -> String {
        literals::select_expr(column)
    }

    fn key_expr(&self, column: &Column) -> Option<String> {
        literals::key_expr(column)
    }

    fn key_select(&self, column: &Column) -> String {
        literals::key_select(column)
    }

    fn compare(&self, key: &[(String, String)], comparison: Comparison) -> String {
        literals::compare(key, comparison)
    }

    fn select(&self, query: &SelectParts<'_>) -> String {
        let mut sql = format!("SELECT {} FROM {}", query.columns(), self.table(query.table));
        if query.keyset {
            sql.push_str(" FORCE INDEX (PRIMARY)");
        }
        if !query.filters.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&query.filters.join(" AND "));
        }
        if !query.order.is_empty() {
            let direction = match query.direction {
                Order::Up => "",
                Order::Down => " DESC",
            };
            let order: Vec<String> = query.order.iter().map(|expr| format!("{expr}{direction}")).collect();
            sql.push_str(" ORDER BY ");
            sql.push_str(&order.join(", "));
        }
        match (query.limit, query.offset) {
            (None, 0) => {}
            (limit, offset) => {
                let limit = limit.unwrap_or(u64::MAX);
                sql.push_str(&format!(" LIMIT {limit}"));
                if offset > 0 {
                    sql.push_str(&format!(" OFFSET {offset}"));
                }
            }
        }
        sql
    }

    fn column_type(&self, kind: &Kind) -> Result<String, String> {
        types::column_type(kind)
    }

    fn create_table(&self, table: &Table) -> Result<String, String> {
        ddl::create_table(table)
    }

    fn create_indexes(&self, table: &Table) -> Vec<String> {
        ddl::create_indexes(table)
    }

    fn after_load(&self, table: &Table) -> Vec<String> {
        ddl::after_load(table)
    }

    fn encoder(&self, columns: &[Column]) -> Box<dyn RowEncoder> {
        Box::new(TextEncoder::new(columns))
    }

    fn hash_text(&self, side: &Side<'_>) -> Option<String> {
        hash::hash_text(side)
    }

    fn row_hash(&self, texts: &[String], same_engine: bool) -> String {
        hash::row_hash(texts, same_engine)
    }

    fn control_types(&self) -> ControlTypes {
        ControlTypes {
            name: "varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            number: "bigint",
            text: "longtext CHARACTER SET utf8mb4",
            options: "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        }
    }

    fn kill(&self, backend: &str) -> Option<String> {
        let is_number = !backend.is_empty() && backend.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| format!("KILL {backend}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableName;

    #[test]
    fn a_select_has_its_parts_in_order() {
        let name = TableName { schema: Some("s".into()), name: "t".into() };
        let mut parts = SelectParts {
            table: &name,
            exprs: &["`a`".to_owned(), "`b`".to_owned()],
            filters: &["(x > 1)".to_owned(), "(y)".to_owned()],
            order: &["`a`".to_owned(), "`b`".to_owned()],
            direction: Order::Down,
            limit: Some(5),
            offset: 2,
            keyset: true,
        };
        assert_eq!(
            DIALECT.select(&parts),
            "SELECT `a` AS shanty_0, `b` AS shanty_1 FROM `s`.`t` FORCE INDEX (PRIMARY) WHERE (x > 1) AND (y) \
             ORDER BY `a` DESC, `b` DESC LIMIT 5 OFFSET 2"
        );
        parts = SelectParts { filters: &[], order: &[], limit: None, offset: 0, keyset: false, ..parts };
        assert_eq!(DIALECT.select(&parts), "SELECT `a` AS shanty_0, `b` AS shanty_1 FROM `s`.`t`");
    }

    #[test]
    fn only_numbers_are_killed() {
        assert_eq!(DIALECT.kill("17").as_deref(), Some("KILL 17"));
        assert_eq!(DIALECT.kill("17; DROP TABLE t"), None);
        assert_eq!(DIALECT.kill(""), None);
    }
}
