//! Which kind a column gets in another engine.
//!
//! | source | PostgreSQL | MySQL | SQLite |
//! |---|---|---|---|
//! | Bool | Bool | Int 8 | Bool |
//! | Int | the next larger one; unsigned 64 → Decimal(20,0) | same | Int 64; unsigned 64 → Text |
//! | Decimal | same, signed; none → none | same; none → (65,30); larger ones: none | Text |
//! | Float | same | same | Float 64 |
//! | Date, DateTime | same | same | same |
//! | Timestamp | same | DateTime in UTC, since TIMESTAMP ends in 2038 | same |
//! | Time of a day | same | Time span | same |
//! | Time span | Interval | same | Text |
//! | Year | Int 16 | same | Int 64 |
//! | Char, Text | same; Text without its limit where that is larger than the engine allows | same | Text |
//! | Binary, Bytes | Bytes | same, likewise | Bytes |
//! | Bit | same | same; varying or more than 64 → Text | Text |
//! | Json | same | same | Json |
//! | Uuid | same | Char(36) | same |
//! | Enum, Set | Text | same | Text |
//! | Interval | same | Text | Text |
//! | geometry of MySQL | Bytes | same | Bytes |
//! | ranges of PostgreSQL | same | none | Text |
//! | other types of PostgreSQL | same | Text | Text |
//! | Any | Text | Text | same |
//!
//! In: a column, two engines. Out: a kind, or words that say what to do. Never: SQL.
//! Tests: below, one line for each of the table.

use super::{Column, Kind};
use crate::db::Engine;

/// Most characters of a MySQL VARCHAR in utf8mb4, and of a row's share that a column may take.
const MYSQL_VARCHAR: u32 = 16_383;
/// Most characters of a PostgreSQL `varchar(n)`.
const POSTGRES_VARCHAR: u32 = 10_485_760;
/// Characters of a text without a limit when it is part of a key in MySQL, whose keys end at 3072 bytes.
const MYSQL_KEY: u32 = 255;

/// The kind that a created target column gets. Between two databases of one engine kinds stay as they are (labels of
/// an enum in PostgreSQL become text: the type may not be there).
///
/// # Errors
/// In words, naming the type and what to do, when the engine has nothing that holds every value.
pub fn target_kind(from: Engine, source: &Column, to: Engine) -> Result<Kind, String> {
    if from == to {
        return Ok(match &source.kind {
            Kind::Enum { .. } if to == Engine::Postgres => Kind::Text { limit: None },
            kind => kind.clone(),
        });
    }
    match to {
        Engine::Postgres => Ok(for_postgres(source)),
        Engine::Mysql => for_mysql(from, source),
        Engine::Sqlite => Ok(for_sqlite(&source.kind)),
    }
}

/// As [`target_kind`], for a column that is part of a key or an index: MySQL wants a limit there.
///
/// # Errors
/// As [`target_kind`].
pub fn target_key_kind(from: Engine, source: &Column, to: Engine) -> Result<Kind, String> {
    let kind = target_kind(from, source, to)?;
    Ok(match kind {
        Kind::Text { limit }
            if to == Engine::Mysql && from != to && limit.is_none_or(|limit| limit > 768) =>
        {
            Kind::Text { limit: Some(MYSQL_KEY) }
        }
        Kind::Bytes { limit }
            if to == Engine::Mysql && from != to && limit.is_none_or(|limit| limit > 3072) =>
        {
            Kind::Bytes { limit: Some(MYSQL_KEY) }
        }
        kind => kind,
    })
}

fn for_postgres(source: &Column) -> Kind {
    match &source.kind {
        Kind::Int { bits: 64, unsigned: true } => Kind::Decimal { size: Some((20, 0)), unsigned: false },
        Kind::Int { bits, unsigned } => {
            let bits = match (*bits, *unsigned) {
                (0..=8, _) | (9..=16, false) => 16,
                (9..=24, _) | (25..=32, false) => 32,
                _ => 64,
            };
            Kind::Int { bits, unsigned: false }
        }
        Kind::Decimal { size, .. } => Kind::Decimal { size: *size, unsigned: false },
        Kind::Time { span: true, .. } => Kind::Interval,
        Kind::Year => Kind::Int { bits: 16, unsigned: false },
        Kind::Text { limit } => Kind::Text { limit: limit.filter(|limit| *limit <= POSTGRES_VARCHAR) },
        Kind::Binary { .. } | Kind::Bytes { .. } | Kind::Other { bytes: true, .. } => {
            Kind::Bytes { limit: None }
        }
        Kind::Enum { .. } | Kind::Set { .. } | Kind::Any => Kind::Text { limit: None },
        Kind::Other { native, bytes: false } => match native.as_str() {
            "inet4" | "inet6" => Kind::Other { native: "inet".to_owned(), bytes: false },
            _ => Kind::Text { limit: None },
        },
        kind => kind.clone(),
    }
}

fn for_mysql(from: Engine, source: &Column) -> Result<Kind, String> {
    Ok(match &source.kind {
        Kind::Bool => Kind::Int { bits: 8, unsigned: false },
        Kind::Decimal { size: None, unsigned } => Kind::Decimal { size: Some((65, 30)), unsigned: *unsigned },
        Kind::Decimal { size: Some((digits, scale)), unsigned } => {
            // PostgreSQL allows more digits after the point than there are in all.
            let digits = (*digits).max(*scale);
            if digits > 65 || *scale > 30 {
                return Err(format!(
                    "{}: {} has more digits than MySQL's DECIMAL(65,30); create the target column yourself, as \
                     text or with fewer digits",
                    source.name, source.native
                ));
            }
            Kind::Decimal { size: Some((digits, *scale)), unsigned: *unsigned }
        }
        Kind::Timestamp { digits } => Kind::DateTime { digits: *digits },
        Kind::Time { digits, .. } => Kind::Time { digits: *digits, span: true },
        Kind::Char { length } if *length > 255 => {
            Kind::Text { limit: Some(*length).filter(|length| *length <= MYSQL_VARCHAR) }
        }
        Kind::Text { limit } => Kind::Text { limit: limit.filter(|limit| *limit <= MYSQL_VARCHAR) },
        Kind::Binary { length } if *length > 255 => Kind::Bytes { limit: Some(*length) },
        Kind::Bytes { limit } => Kind::Bytes { limit: limit.filter(|limit| *limit <= MYSQL_VARCHAR) },
        Kind::Bit { width, varying } if *varying || *width > 64 => {
            Kind::Text { limit: Some(*width).filter(|width| *width <= MYSQL_VARCHAR) }
        }
        Kind::Uuid => Kind::Char { length: 36 },
        Kind::Interval | Kind::Any => Kind::Text { limit: None },
        Kind::Other { native, bytes } => {
            let is_range = native.ends_with("range") && from == Engine::Postgres;
            if is_range || *bytes {
                return Err(format!(
                    "{}: MySQL has no type for {native}; leave the column out or create the target column \
                     yourself, as text",
                    source.name
                ));
            }
            Kind::Text { limit: None }
        }
        kind => kind.clone(),
    })
}

fn for_sqlite(kind: &Kind) -> Kind {
    match kind {
        Kind::Int { bits: 64, unsigned: true }
        | Kind::Decimal { .. }
        | Kind::Time { span: true, .. }
        | Kind::Char { .. }
        | Kind::Text { .. }
        | Kind::Bit { .. }
        | Kind::Enum { .. }
        | Kind::Set { .. }
        | Kind::Interval
        | Kind::Other { bytes: false, .. } => Kind::Text { limit: None },
        Kind::Int { .. } | Kind::Year => Kind::Int { bits: 64, unsigned: false },
        Kind::Float { .. } => Kind::Float { bits: 64 },
        Kind::Binary { .. } | Kind::Bytes { .. } | Kind::Other { bytes: true, .. } => {
            Kind::Bytes { limit: None }
        }
        Kind::Json { .. } => Kind::Json { binary: false },
        kind => kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind) -> Column {
        Column {
            name: "c".to_owned(),
            native: "n".to_owned(),
            kind,
            nullable: true,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        }
    }

    fn int(bits: u8, unsigned: bool) -> Kind {
        Kind::Int { bits, unsigned }
    }

    fn decimal(size: Option<(u16, u16)>) -> Kind {
        Kind::Decimal { size, unsigned: false }
    }

    fn text(limit: Option<u32>) -> Kind {
        Kind::Text { limit }
    }

    fn bytes(limit: Option<u32>) -> Kind {
        Kind::Bytes { limit }
    }

    fn other(native: &str, bytes: bool) -> Kind {
        Kind::Other { native: native.to_owned(), bytes }
    }

    #[test]
    fn each_kind_has_its_place_in_each_engine() {
        use Engine::{Mysql as M, Postgres as P, Sqlite as S};
        let labels = || vec!["a".to_owned()];
        let span = |digits| Kind::Time { digits, span: true };
        let clock = |digits| Kind::Time { digits, span: false };
        for (from, kind, to, expected) in [
            (P, Kind::Bool, M, int(8, false)),
            (P, Kind::Bool, S, Kind::Bool),
            (S, Kind::Bool, P, Kind::Bool),
            (M, int(8, false), P, int(16, false)),
            (M, int(8, true), P, int(16, false)),
            (M, int(16, false), P, int(16, false)),
            (M, int(16, true), P, int(32, false)),
            (M, int(24, true), P, int(32, false)),
            (M, int(32, false), P, int(32, false)),
            (M, int(32, true), P, int(64, false)),
            (M, int(64, false), P, int(64, false)),
            (M, int(64, true), P, decimal(Some((20, 0)))),
            (M, int(64, true), S, text(None)),
            (M, int(32, true), S, int(64, false)),
            (M, int(64, true), M, int(64, true)),
            (M, decimal(Some((10, 2))), P, decimal(Some((10, 2)))),
            (M, Kind::Decimal { size: Some((10, 2)), unsigned: true }, P, decimal(Some((10, 2)))),
            (P, decimal(None), M, decimal(Some((65, 30)))),
            (P, decimal(Some((3, 5))), M, decimal(Some((5, 5)))),
            (P, decimal(None), S, text(None)),
            (P, decimal(None), P, decimal(None)),
            (M, Kind::Float { bits: 32 }, P, Kind::Float { bits: 32 }),
            (M, Kind::Float { bits: 32 }, S, Kind::Float { bits: 64 }),
            (M, Kind::Date, P, Kind::Date),
            (M, Kind::Date, S, Kind::Date),
            (M, Kind::Timestamp { digits: 3 }, P, Kind::Timestamp { digits: 3 }),
            (P, Kind::Timestamp { digits: 6 }, M, Kind::DateTime { digits: 6 }),
            (M, Kind::Timestamp { digits: 6 }, M, Kind::Timestamp { digits: 6 }),
            (M, Kind::DateTime { digits: 0 }, P, Kind::DateTime { digits: 0 }),
            (M, span(2), P, Kind::Interval),
            (M, span(2), S, text(None)),
            (P, clock(6), M, span(6)),
            (P, clock(6), S, clock(6)),
            (M, Kind::Year, P, int(16, false)),
            (M, Kind::Year, S, int(64, false)),
            (M, Kind::Enum { labels: labels() }, P, text(None)),
            (P, Kind::Enum { labels: labels() }, M, Kind::Enum { labels: labels() }),
            (P, Kind::Enum { labels: labels() }, P, text(None)),
            (P, Kind::Enum { labels: labels() }, S, text(None)),
            (M, Kind::Set { labels: labels() }, P, text(None)),
            (M, Kind::Set { labels: labels() }, S, text(None)),
            (M, Kind::Bit { width: 7, varying: false }, P, Kind::Bit { width: 7, varying: false }),
            (P, Kind::Bit { width: 65, varying: false }, M, text(Some(65))),
            (P, Kind::Bit { width: 5, varying: true }, M, text(Some(5))),
            (M, Kind::Bit { width: 7, varying: false }, S, text(None)),
            (M, Kind::Json { binary: true }, P, Kind::Json { binary: true }),
            (P, Kind::Json { binary: false }, M, Kind::Json { binary: false }),
            (P, Kind::Json { binary: true }, S, Kind::Json { binary: false }),
            (M, Kind::Binary { length: 16 }, P, bytes(None)),
            (S, bytes(None), M, bytes(None)),
            (M, bytes(Some(20)), S, bytes(None)),
            (M, Kind::Char { length: 9 }, P, Kind::Char { length: 9 }),
            (P, Kind::Char { length: 300 }, M, text(Some(300))),
            (M, Kind::Char { length: 9 }, S, text(None)),
            (P, text(Some(16_384)), M, text(None)),
            (P, text(Some(16_383)), M, text(Some(16_383))),
            (S, text(Some(4_000_000_000)), P, text(None)),
            (P, Kind::Uuid, M, Kind::Char { length: 36 }),
            (P, Kind::Uuid, S, Kind::Uuid),
            (P, Kind::Interval, M, text(None)),
            (P, Kind::Interval, S, text(None)),
            (P, other("integer[]", false), M, text(None)),
            (P, other("int4range", false), S, text(None)),
            (P, other("inet", false), M, text(None)),
            (P, other("hstore", false), P, other("hstore", false)),
            (M, other("inet6", false), P, other("inet", false)),
            (M, other("geometry", true), P, bytes(None)),
            (M, other("geometry", true), S, bytes(None)),
            (M, other("geometry", true), M, other("geometry", true)),
            (S, Kind::Any, P, text(None)),
            (S, Kind::Any, M, text(None)),
            (S, Kind::Any, S, Kind::Any),
        ] {
            assert_eq!(target_kind(from, &column(kind.clone()), to), Ok(expected), "{from} {kind:?} → {to}");
        }
    }

    #[test]
    fn what_has_no_place_is_told_with_a_remedy() {
        for kind in [
            other("int4range", false),
            other("datemultirange", false),
            decimal(Some((70, 2))),
            decimal(Some((40, 31))),
        ] {
            let told = target_kind(Engine::Postgres, &column(kind), Engine::Mysql).unwrap_err();
            assert!(told.starts_with("c: ") && told.contains("target column yourself"), "{told}");
        }
    }

    #[test]
    fn a_key_has_a_limit_in_mysql_only() {
        let key = |from, kind, to| target_key_kind(from, &column(kind), to).unwrap();
        assert_eq!(key(Engine::Postgres, text(None), Engine::Mysql), text(Some(255)));
        assert_eq!(key(Engine::Postgres, text(Some(700)), Engine::Mysql), text(Some(700)));
        assert_eq!(key(Engine::Postgres, bytes(None), Engine::Mysql), bytes(Some(255)));
        assert_eq!(key(Engine::Mysql, text(Some(4000)), Engine::Mysql), text(Some(4000)));
        assert_eq!(key(Engine::Mysql, text(None), Engine::Postgres), text(None));
    }
}
