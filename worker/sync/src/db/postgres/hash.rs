//! Texts and hashes by which tables are compared, the same on all engines.
//!
//! In: a column here, the kind of its counterpart. Out: SQL expressions.
//! Never: a text that depends on a setting beyond those of `session`.
//! Tests: against a server in `worker/sync/tests/databases/postgres.rs`.
//!
//! | kinds of both ends | text |
//! |---|---|
//! | whole numbers, years, Bool | decimal digits, 1 and 0 |
//! | Decimal | rounded to the smaller scale of both, with that many digits |
//! | Date | `YYYY-MM-DD` |
//! | DateTime, Timestamp | `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, cut to the smaller precision, filled up with zeros |
//! | Time, a span as Interval | whole microseconds with sign, cut likewise |
//! | bytes | small hex |
//! | Bit | the value in small hex without leading zeros, to 64 bits; else its digits |
//! | text, Enum, Set | itself; without trailing blanks when either end is Char |
//! | Uuid | small letters with hyphens |
//! | Float of equal width | the shortest digits |
//! | anything against text | the text of a cell (see [`Kind`]) |

use super::dialect::ident;
use crate::db::Side;
use crate::schema::{Column, Kind};

/// See [`Dialect::hash_text`](crate::db::Dialect::hash_text).
pub(super) fn text(side: &Side<'_>) -> Option<String> {
    let column = side.column;
    let name = ident(&column.name);
    // Equal kinds of one engine print equal values equally.
    if side.same_engine && column.kind == *side.other {
        return Some(format!("{name}::text"));
    }
    match (&column.kind, side.other) {
        (Kind::Float { bits }, Kind::Float { bits: other }) if bits == other => Some(shortest(&name)),
        (Kind::Json { .. } | Kind::Float { .. } | Kind::Any, _)
        | (_, Kind::Json { .. } | Kind::Float { .. } | Kind::Any) => None,
        (Kind::Other { native, .. }, Kind::Other { native: other, .. }) if native != other => None,
        (Kind::Char { .. }, _) | (_, Kind::Char { .. }) => {
            Some(format!("rtrim({}, ' ')", cell(column, &name)))
        }
        (_, Kind::Text { .. } | Kind::Enum { .. } | Kind::Set { .. }) => Some(cell(column, &name)),
        (Kind::Decimal { size, .. }, other) => Some(match smaller_scale(*size, other) {
            Some(scale) => format!("round({name}, {scale})::text"),
            None => format!("{name}::text"),
        }),
        // Whole numbers have no digits to cut.
        (Kind::Int { .. } | Kind::Bool | Kind::Year, _) => Some(cell(column, &name)),
        (Kind::DateTime { digits }, other) => Some(moment(&name, *digits, other)),
        (Kind::Timestamp { digits }, other) => {
            Some(moment(&format!("({name} AT TIME ZONE 'UTC')"), *digits, other))
        }
        (Kind::Time { .. } | Kind::Interval, Kind::Time { .. } | Kind::Interval) => {
            let digits = clock_digits(&column.kind).min(clock_digits(side.other));
            Some(format!("(trunc(extract(epoch FROM {name})::numeric, {digits}) * 1000000)::bigint::text"))
        }
        (Kind::Bit { width: 1..=64, varying: false }, Kind::Bit { varying: false, .. }) => {
            Some(format!("to_hex(lpad({name}::text, 64, '0')::bit(64)::bigint)"))
        }
        _ => Some(cell(column, &name)),
    }
}

/// The shortest digits of a floating point number in the form in which MySQL and MariaDB write a DOUBLE: plain from
/// 1e-15 to 1e15, else with an exponent without sign and zeros.
fn shortest(name: &str) -> String {
    let text = format!("{name}::float8::text");
    format!(
        "CASE WHEN abs({name}) >= 1e-15 AND abs({name}) < 1e-4 THEN {text}::numeric::text \
         ELSE replace({text}, 'e+', 'e') END"
    )
}

/// What [`record`] takes of a column: where both ends have one kind, what the server would send of it in binary, so that
/// all values are told apart that print differently (the hash of a `bigint` folds it first, and -0 and 0, 1.0 and 1.00 hash
/// alike); else a text.
pub(super) fn part(side: &Side<'_>) -> Option<String> {
    if side.column.kind != *side.other {
        return text(side).map(|text| format!("({text}) COLLATE \"C\""));
    }
    let name = ident(&side.column.name);
    Some(sent(&side.column.kind, &name).unwrap_or_else(|| format!("{name}::text COLLATE \"C\"")))
}

/// An expression whose hash is that of the bytes that the server sends of a column; none for kinds for which that is not
/// tried.
fn sent(kind: &Kind, name: &str) -> Option<String> {
    let function = match kind {
        // These are the bytes.
        Kind::Binary { .. } | Kind::Bytes { .. } => return Some(name.to_owned()),
        Kind::Text { .. } | Kind::Enum { .. } => return Some(format!("{name}::text COLLATE \"C\"")),
        Kind::Bool => "boolsend",
        Kind::Int { bits: 16, unsigned: false } => "int2send",
        Kind::Int { bits: 32, unsigned: false } => "int4send",
        Kind::Int { bits: 64, unsigned: false } => "int8send",
        Kind::Float { bits: 32 } => "float4send",
        Kind::Float { bits: 64 } => "float8send",
        Kind::Decimal { .. } => "numeric_send",
        Kind::Date => "date_send",
        Kind::DateTime { .. } => "timestamp_send",
        Kind::Timestamp { .. } => "timestamptz_send",
        Kind::Uuid => "uuid_send",
        _ => return None,
    };
    Some(format!("{function}({name})"))
}

/// Whether [`record`] of these columns, at two ends of these kinds, is the hash of the bytes that the server sends.
pub(super) fn is_of_sent(columns: &[Column]) -> bool {
    columns.iter().all(|column| sent(&column.kind, "").is_some())
}

/// A hash of a row by the server's own hash of records, which PostgreSQL has from 14 on.
pub(super) fn record(parts: &[String]) -> String {
    format!("(hash_record_extended(ROW({}), 0) & {})", parts.join(", "), super::record::KEPT)
}

/// A cell as [`Kind`] writes it; bytes as small hex.
fn cell(column: &Column, name: &str) -> String {
    match column.kind {
        Kind::Bool => format!("{name}::integer::text"),
        Kind::Bytes { .. } | Kind::Binary { .. } => format!("encode({name}, 'hex')"),
        Kind::Timestamp { .. } => format!("({name} AT TIME ZONE 'UTC')::text"),
        // The cast shows the length of a whole address, which the type's own form leaves out.
        Kind::Other { ref native, .. } if native == "inet" => format!("textin(inet_out({name}))"),
        _ => format!("{name}::text"),
    }
}

/// Digits after the point that both ends have; none when neither end has a limit.
fn smaller_scale(size: Option<(u16, u16)>, other: &Kind) -> Option<u16> {
    let here = size.map(|(_, scale)| scale);
    let there = match other {
        Kind::Decimal { size, .. } => size.map(|(_, scale)| scale),
        Kind::Int { .. } | Kind::Bool | Kind::Year => Some(0),
        _ => None,
    };
    match (here, there) {
        (Some(here), Some(there)) => Some(here.min(there)),
        (here, there) => here.or(there),
    }
}

/// A date with a time, cut to the digits that both ends have. `to_char` knows no infinity and no years before 1.
fn moment(expr: &str, digits: u8, other: &Kind) -> String {
    let there = match other {
        Kind::DateTime { digits } | Kind::Timestamp { digits } => *digits,
        Kind::Date => return format!("{expr}::date::text"),
        _ => 6,
    };
    let length = 20 + digits.min(there);
    format!(
        "CASE WHEN {expr} BETWEEN '0001-01-01' AND '9999-12-31 23:59:59.999999' \
         THEN rpad(left(to_char({expr}, 'YYYY-MM-DD HH24:MI:SS.US'), {length}), 26, '0') ELSE {expr}::text END"
    )
}

/// Digits of a second's fraction.
fn clock_digits(kind: &Kind) -> u8 {
    match kind {
        Kind::Time { digits, .. } => *digits,
        _ => 6,
    }
}

/// See [`Dialect::row_hash`](crate::db::Dialect::row_hash). The hash of equal engines is made of the bytes as the
/// server keeps them: both databases must have the same encoding.
pub(super) fn row(texts: &[String], same_engine: bool, is_utf8: bool) -> String {
    if texts.is_empty() {
        return "0::bigint".to_owned();
    }
    let bytes = |text: &str| {
        if is_utf8 || same_engine { text.to_owned() } else { format!("convert_to({text}, 'UTF8')") }
    };
    let part = |text: &String| format!("coalesce(octet_length({}) || ':' || ({text}), 'N')", bytes(text));
    let whole = texts.iter().map(part).collect::<Vec<_>>().join(" || ");
    if same_engine {
        // Texts of different collations have none together, and this function asks for one.
        format!("(hashtextextended(({whole}) COLLATE \"C\", 0) & 1152921504606846975)")
    } else {
        format!("('x0' || left(md5({}), 15))::bit(64)::bigint", bytes(&whole))
    }
}
