//! Native types to kinds and back, and which of them order and travel how.
//!
//! In: names of `pg_type`, modifiers, kinds. Out: [`Kind`], type names for CREATE TABLE and casts.
//! Never: SQL beyond a type's name. Tests: below.

use crate::schema::{Column, Kind};

/// A type as the catalog has it, domains followed to their base.
#[derive(Debug, Clone)]
pub(super) struct Native<'a> {
    /// `pg_type.typname`.
    pub(super) name: &'a str,
    /// `pg_type.typtype`: `b` base, `e` enum, `c` composite, `r` range, `m` multirange.
    pub(super) class: &'a str,
    /// Whether it is the server's own (schema `pg_catalog`).
    pub(super) builtin: bool,
    /// Modifier; −1 for none.
    pub(super) modifier: i32,
    /// As `format_type` writes it.
    pub(super) full: &'a str,
    /// Of an enum, in order.
    pub(super) labels: Vec<String>,
}

/// The kind of a native type.
pub(super) fn kind(native: &Native<'_>) -> Kind {
    if native.class == "e" {
        return Kind::Enum { labels: native.labels.clone() };
    }
    if native.name == "citext" && native.class == "b" {
        return Kind::Text { limit: None };
    }
    let other = Kind::Other { native: native.full.to_owned(), bytes: false };
    if !native.builtin {
        return other;
    }
    // Lengths are kept with four bytes added; −1 means none.
    let length = u32::try_from(native.modifier - 4).ok();
    let digits = u8::try_from(native.modifier).unwrap_or(6);
    let bits = u32::try_from(native.modifier).ok();
    match native.name {
        "bool" => Kind::Bool,
        "int2" => Kind::Int { bits: 16, unsigned: false },
        "int4" => Kind::Int { bits: 32, unsigned: false },
        "int8" => Kind::Int { bits: 64, unsigned: false },
        "oid" => Kind::Int { bits: 32, unsigned: true },
        "numeric" => Kind::Decimal { size: decimal_size(native.modifier), unsigned: false },
        "float4" => Kind::Float { bits: 32 },
        "float8" => Kind::Float { bits: 64 },
        "date" => Kind::Date,
        "time" => Kind::Time { digits, span: false },
        "timestamp" => Kind::DateTime { digits },
        "timestamptz" => Kind::Timestamp { digits },
        "bpchar" => length.map_or(Kind::Text { limit: None }, |length| Kind::Char { length }),
        "varchar" => Kind::Text { limit: length },
        "text" => Kind::Text { limit: None },
        "name" => Kind::Text { limit: Some(63) },
        "bytea" => Kind::Bytes { limit: None },
        "bit" => Kind::Bit { width: bits.unwrap_or(1), varying: false },
        "varbit" => Kind::Bit { width: bits.unwrap_or(0), varying: true },
        "json" => Kind::Json { binary: false },
        "jsonb" => Kind::Json { binary: true },
        "uuid" => Kind::Uuid,
        "interval" => Kind::Interval,
        _ => other,
    }
}

/// Digits in all and after the point of a numeric's modifier. A negative scale gives zeros before the point, one
/// larger than the precision gives zeros after it: both are counted as digits.
fn decimal_size(modifier: i32) -> Option<(u16, u16)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = (packed >> 16) & 0xffff;
    // Eleven bits with a sign.
    let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
    let size = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    Some((u16::try_from(size.0).ok()?, u16::try_from(size.1).ok()?))
}

/// The type to declare for a kind.
///
/// # Errors
/// In words, when there is none.
pub(super) fn declared(kind: &Kind) -> Result<String, String> {
    let precise = |digits: u8| if digits < 6 { format!("({digits})") } else { String::new() };
    Ok(match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::Int { bits, unsigned } => match (bits, unsigned) {
            (0..=8, _) | (9..=16, false) => "smallint",
            (9..=16, true) | (17..=24, _) | (25..=32, false) => "integer",
            (25..=32, true) | (33.., false) => "bigint",
            (33.., true) => "numeric(20,0)",
        }
        .to_owned(),
        Kind::Decimal { size: None, .. } => "numeric".to_owned(),
        Kind::Decimal { size: Some((precision, scale)), .. } => {
            if *precision == 0 || *precision > 1000 {
                return Err(format!("decimals of {precision} digits; numeric holds 1 to 1000"));
            }
            format!("numeric({precision},{scale})")
        }
        Kind::Float { bits: ..=32 } => "real".to_owned(),
        Kind::Float { .. } => "double precision".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Time { span: true, .. } | Kind::Interval => "interval".to_owned(),
        Kind::Time { digits, span: false } => format!("time{} without time zone", precise(*digits)),
        Kind::DateTime { digits } => format!("timestamp{} without time zone", precise(*digits)),
        Kind::Timestamp { digits } => format!("timestamp{} with time zone", precise(*digits)),
        Kind::Year => "smallint".to_owned(),
        Kind::Char { length } if (1..=MOST_CHARACTERS).contains(length) => format!("character({length})"),
        Kind::Text { limit: Some(limit) } if (1..=MOST_CHARACTERS).contains(limit) => {
            format!("character varying({limit})")
        }
        Kind::Char { .. } | Kind::Text { .. } | Kind::Enum { .. } | Kind::Set { .. } => "text".to_owned(),
        Kind::Binary { .. } | Kind::Bytes { .. } => "bytea".to_owned(),
        Kind::Bit { width: 0, .. } => "bit varying".to_owned(),
        Kind::Bit { width, varying: true } => format!("bit varying({width})"),
        Kind::Bit { width, varying: false } => format!("bit({width})"),
        Kind::Json { binary: true } => "jsonb".to_owned(),
        Kind::Json { binary: false } => "json".to_owned(),
        Kind::Uuid => "uuid".to_owned(),
        Kind::Other { native, bytes } => {
            if *bytes || FOREIGN.contains(&native.to_ascii_lowercase().as_str()) {
                return Err(format!(
                    "the type {native} has no counterpart in PostgreSQL; leave the column out or create the table first"
                ));
            }
            native.clone()
        }
        Kind::Any => {
            return Err("values of any type; give the column a type by creating the table first".to_owned());
        }
    })
}

/// Longest `character(n)`.
const MOST_CHARACTERS: u32 = 10_485_760;

/// Types of other engines whose values are text but which PostgreSQL does not know.
const FOREIGN: [&str; 2] = ["inet4", "inet6"];

/// The type to cast a literal to so that it compares as the column does: without length or precision, which would
/// cut a value that is only compared with.
pub(super) fn compared(column: &Column) -> String {
    match &column.kind {
        // `character` without a length is one character.
        Kind::Char { .. } => "bpchar".to_owned(),
        // `bit` without a width is one bit.
        Kind::Bit { varying: false, .. } => column.native.clone(),
        _ => without_modifier(&column.native),
    }
}

fn without_modifier(native: &str) -> String {
    // A quoted name may hold parentheses of its own.
    match (native.contains('"'), native.find('('), native.find(')')) {
        (false, Some(open), Some(close)) if open < close => {
            format!("{}{}", native.get(..open).unwrap_or(native), native.get(close + 1..).unwrap_or_default())
        }
        _ => native.to_owned(),
    }
}

/// Types among [`Kind::Other`] that have an order whose equality is identity.
const ORDERED: [&str; 12] = [
    "\"char\"",
    "cidr",
    "inet",
    "macaddr",
    "macaddr8",
    "money",
    "pg_lsn",
    "time with time zone",
    "tsvector",
    "xid8",
    "tid",
    "oidvector",
];

/// Whether the server orders and compares values of the column exactly.
pub(super) fn is_ordered(kind: &Kind) -> bool {
    match kind {
        Kind::Float { .. } | Kind::Json { .. } | Kind::Any | Kind::Set { .. } => false,
        Kind::Other { native, .. } => {
            let plain = without_modifier(native);
            ORDERED.contains(&plain.as_str())
                || plain.ends_with("range")
                || plain.strip_suffix("[]").is_some_and(|element| {
                    SIMPLE.contains(&element)
                        && !matches!(element, "real" | "double precision" | "json" | "jsonb")
                })
        }
        _ => true,
    }
}

/// The server's own types, as `format_type` names them without modifiers, whose binary form is the same in every
/// database: it holds no object ids and depends on no setting.
const SIMPLE: [&str; 36] = [
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "box",
    "bytea",
    "character",
    "character varying",
    "bpchar",
    "cidr",
    "circle",
    "date",
    "daterange",
    "double precision",
    "inet",
    "int4range",
    "int8range",
    "integer",
    "interval",
    "json",
    "jsonb",
    "lseg",
    "macaddr",
    "name",
    "numeric",
    "numrange",
    "oid",
    "path",
    "point",
    "polygon",
    "real",
    "smallint",
    "text",
    "time with time zone",
    "tsrange",
    "tstzrange",
];
const SIMPLE_TIMES: [&str; 6] = [
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
    "uuid",
    "tsvector",
    "pg_lsn",
];

/// Whether a value's binary form may be taken by a column of the same native type in another database.
pub(super) fn travels_raw(column: &Column) -> bool {
    match &column.kind {
        Kind::Other { native, .. } => {
            let plain = without_modifier(native);
            let element = plain.strip_suffix("[]").unwrap_or(&plain);
            SIMPLE.contains(&element) || SIMPLE_TIMES.contains(&element)
        }
        Kind::Any | Kind::Set { .. } => false,
        // An extension's; its binary form is its own affair.
        Kind::Text { .. } => {
            let plain = without_modifier(&column.native);
            !plain.ends_with("citext") && !plain.ends_with("citext\"")
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(name: &'static str, modifier: i32) -> Kind {
        kind(&Native { name, class: "b", builtin: true, modifier, full: name, labels: Vec::new() })
    }

    #[test]
    fn modifiers_are_read() {
        assert_eq!(
            native("numeric", ((10 << 16) | 2) + 4),
            Kind::Decimal { size: Some((10, 2)), unsigned: false }
        );
        assert_eq!(native("numeric", -1), Kind::Decimal { size: None, unsigned: false });
        // numeric(3,-2) holds 99900; numeric(3,5) holds 0.00999.
        assert_eq!(
            native("numeric", ((3 << 16) | (-2 & 0x7ff)) + 4),
            Kind::Decimal { size: Some((5, 0)), unsigned: false }
        );
        assert_eq!(
            native("numeric", ((3 << 16) | 5) + 4),
            Kind::Decimal { size: Some((5, 5)), unsigned: false }
        );
        assert_eq!(native("varchar", 14), Kind::Text { limit: Some(10) });
        assert_eq!(native("bpchar", 9), Kind::Char { length: 5 });
        assert_eq!(native("bpchar", -1), Kind::Text { limit: None });
        assert_eq!(native("timestamptz", 3), Kind::Timestamp { digits: 3 });
        assert_eq!(native("time", -1), Kind::Time { digits: 6, span: false });
        assert_eq!(native("bit", 9), Kind::Bit { width: 9, varying: false });
        assert_eq!(native("varbit", -1), Kind::Bit { width: 0, varying: true });
        assert_eq!(native("inet", -1), Kind::Other { native: "inet".to_owned(), bytes: false });
    }

    #[test]
    fn kinds_have_types() {
        let int = |bits, unsigned| Kind::Int { bits, unsigned };
        for (kind, expected) in [
            (int(8, true), "smallint"),
            (int(16, false), "smallint"),
            (int(16, true), "integer"),
            (int(24, true), "integer"),
            (int(32, true), "bigint"),
            (int(64, false), "bigint"),
            (int(64, true), "numeric(20,0)"),
            (Kind::Time { digits: 3, span: false }, "time(3) without time zone"),
            (Kind::Time { digits: 3, span: true }, "interval"),
            (Kind::Timestamp { digits: 6 }, "timestamp with time zone"),
            (Kind::Char { length: 0 }, "text"),
            (Kind::Text { limit: Some(20_000_000) }, "text"),
            (Kind::Text { limit: Some(20) }, "character varying(20)"),
            (Kind::Binary { length: 16 }, "bytea"),
            (Kind::Year, "smallint"),
            (Kind::Set { labels: vec![] }, "text"),
        ] {
            assert_eq!(declared(&kind).as_deref(), Ok(expected), "{kind:?}");
        }
        let geometry = Kind::Other { native: "geometry".to_owned(), bytes: true };
        assert!(declared(&geometry).unwrap_err().contains("geometry"));
        assert!(declared(&Kind::Any).is_err());
        assert!(declared(&Kind::Decimal { size: Some((1001, 0)), unsigned: false }).is_err());
    }

    #[test]
    fn modifiers_are_taken_off() {
        for (native, plain) in [
            ("character varying(10)", "character varying"),
            ("timestamp(3) without time zone", "timestamp without time zone"),
            ("numeric(10,2)[]", "numeric[]"),
            ("\"odd(1)\"", "\"odd(1)\""),
        ] {
            assert_eq!(without_modifier(native), plain);
        }
    }
}
