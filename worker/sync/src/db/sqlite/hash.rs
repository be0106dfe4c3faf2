//! Texts by which tables are compared.
//!
//! In: a column here, the kind of its counterpart. Out: SQL expressions. The forms are those that
//! [`Dialect::hash_text`](crate::db::Dialect::hash_text) lists.
//! Never: a text of a number that is kept as floating point. Tests: below and `worker/sync/tests/databases/engines.rs`.

use super::dialect::ident;
use crate::db::Side;
use crate::schema::Kind;

/// See [`Dialect::hash_text`](crate::db::Dialect::hash_text).
pub(super) fn text(side: &Side<'_>) -> Option<String> {
    let name = ident(&side.column.name);
    let own = &side.column.kind;
    if side.same_engine {
        // What SQLite writes for a value says its type and all of it.
        return (own == side.other).then(|| format!("quote({name})"));
    }
    let digits = |own: u8| match side.other {
        Kind::DateTime { digits } | Kind::Timestamp { digits } | Kind::Time { digits, .. } => {
            own.min(*digits)
        }
        _ => own,
    };
    match (own, side.other) {
        // Numbers are floating point here; JSON and what has no type look different at each end.
        (Kind::Float { .. } | Kind::Decimal { .. } | Kind::Json { .. } | Kind::Any, _)
        | (_, Kind::Float { .. } | Kind::Json { .. } | Kind::Any) => None,
        (Kind::DateTime { .. } | Kind::Timestamp { .. }, Kind::Date) => {
            Some(format!("substr({name}, 1, 10)"))
        }
        (
            Kind::DateTime { digits: own } | Kind::Timestamp { digits: own },
            Kind::DateTime { .. } | Kind::Timestamp { .. },
        ) => Some(format!("shanty_moment({name}, {})", digits(*own))),
        (Kind::Time { digits: own, .. }, Kind::Time { .. } | Kind::Interval) => {
            Some(format!("shanty_micros({name}, {})", digits(*own)))
        }
        (kind, _) if kind.is_bytes() => Some(hex(&name)),
        (Kind::Uuid, _) | (_, Kind::Uuid) => Some(format!("lower({name})")),
        (Kind::Text { .. }, Kind::Char { .. }) => Some(format!("rtrim({name}, ' ')")),
        (Kind::Text { .. }, kind) if kind.is_bytes() => Some(hex(&name)),
        _ => Some(format!("CAST({name} AS TEXT)")),
    }
}

/// Small hex; SQLite's own function makes an empty text of NULL.
fn hex(name: &str) -> String {
    format!("CASE WHEN {name} IS NOT NULL THEN lower(hex({name})) END")
}

/// See [`Dialect::row_hash`](crate::db::Dialect::row_hash).
pub(super) fn row(texts: &[String]) -> String {
    format!("shanty_row_hash({})", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::column;
    use super::*;

    #[test]
    fn each_kind_has_a_text_or_none() {
        let text_kind = Kind::Text { limit: None };
        let decimal = Kind::Decimal { size: Some((9, 2)), unsigned: false };
        let moment = |digits| Kind::DateTime { digits };
        for (own, other, expected) in [
            (Kind::Int { bits: 64, unsigned: false }, Kind::Year, Some("CAST(\"c\" AS TEXT)")),
            (text_kind.clone(), decimal.clone(), Some("CAST(\"c\" AS TEXT)")),
            (text_kind.clone(), Kind::Char { length: 3 }, Some("rtrim(\"c\", ' ')")),
            (decimal.clone(), decimal, None),
            (Kind::Float { bits: 64 }, Kind::Float { bits: 64 }, None),
            (text_kind, Kind::Json { binary: false }, None),
            (moment(6), moment(3), Some("shanty_moment(\"c\", 3)")),
            (moment(2), Kind::Timestamp { digits: 3 }, Some("shanty_moment(\"c\", 2)")),
            (moment(2), Kind::Date, Some("substr(\"c\", 1, 10)")),
            (
                Kind::Bytes { limit: None },
                Kind::Bytes { limit: None },
                Some("CASE WHEN \"c\" IS NOT NULL THEN lower(hex(\"c\")) END"),
            ),
            (Kind::Uuid, Kind::Char { length: 36 }, Some("lower(\"c\")")),
        ] {
            let column = column("c", own.clone());
            let side = Side { column: &column, other: &other, same_engine: false };
            assert_eq!(text(&side).as_deref(), expected, "{own:?} {other:?}");
        }
        let column = column("c", Kind::Float { bits: 64 });
        let side = Side { column: &column, other: &Kind::Float { bits: 64 }, same_engine: true };
        assert_eq!(text(&side).as_deref(), Some("quote(\"c\")"));
    }
}
