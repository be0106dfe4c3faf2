//! Native types and kinds, both ways.
//!
//! In: a COLUMN_TYPE of information_schema, or a kind. Out: a kind, or a type to declare.
//! Never: TINYINT(1) as a truth value; a type that cannot hold every value of the kind.
//! Tests: below.

use super::literals::text;
use crate::schema::Kind;

/// Most characters of a VARCHAR; longer text becomes TEXT of some size.
const VARCHAR: u32 = 16_383;

/// The kind of a native type, as information_schema writes it.
pub(super) fn kind(native: &str) -> Kind {
    let lower = native.to_ascii_lowercase();
    let base = lower.split(['(', ' ']).next().unwrap_or_default();
    let inside = native.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map(|(inside, _)| inside);
    let number = |fallback: u32| inside.and_then(|text| text.trim().parse().ok()).unwrap_or(fallback);
    let digits = u8::try_from(number(0)).unwrap_or(6);
    // ZEROFILL makes a number unsigned too, and says so itself.
    let unsigned = lower.contains(" unsigned");
    let int = |bits| Kind::Int { bits, unsigned };
    match base {
        "tinyint" => int(8),
        "smallint" => int(16),
        "mediumint" => int(24),
        "int" | "integer" => int(32),
        "bigint" => int(64),
        "decimal" | "numeric" => {
            let (size, scale) = inside.and_then(|text| text.split_once(',')).unwrap_or(("10", "0"));
            let number = |text: &str, fallback| text.trim().parse().unwrap_or(fallback);
            Kind::Decimal { size: Some((number(size, 10), number(scale, 0))), unsigned }
        }
        "float" => Kind::Float { bits: 32 },
        "double" => Kind::Float { bits: 64 },
        "date" => Kind::Date,
        "time" => Kind::Time { digits, span: true },
        "datetime" => Kind::DateTime { digits },
        "timestamp" => Kind::Timestamp { digits },
        "year" => Kind::Year,
        "char" => Kind::Char { length: number(1) },
        "varchar" => Kind::Text { limit: Some(number(0)) },
        "tinytext" => Kind::Text { limit: Some(255) },
        "text" => Kind::Text { limit: Some(65_535) },
        "mediumtext" => Kind::Text { limit: Some(16_777_215) },
        "longtext" => Kind::Text { limit: None },
        "binary" => Kind::Binary { length: number(1) },
        "varbinary" => Kind::Bytes { limit: Some(number(0)) },
        "tinyblob" => Kind::Bytes { limit: Some(255) },
        "blob" => Kind::Bytes { limit: Some(65_535) },
        "mediumblob" => Kind::Bytes { limit: Some(16_777_215) },
        "longblob" => Kind::Bytes { limit: None },
        "bit" => Kind::Bit { width: number(1), varying: false },
        "json" => Kind::Json { binary: true },
        "uuid" => Kind::Uuid,
        "enum" => Kind::Enum { labels: labels(inside.unwrap_or_default()) },
        "set" => Kind::Set { labels: labels(inside.unwrap_or_default()) },
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" | "vector" => {
            Kind::Other { native: lower.clone(), bytes: true }
        }
        _ => Kind::Other { native: lower.clone(), bytes: false },
    }
}

/// The labels of `'a','it''s'`.
fn labels(inside: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut label: Option<String> = None;
    let mut letters = inside.chars().peekable();
    while let Some(letter) = letters.next() {
        match (&mut label, letter) {
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
            (Some(open), '\'') if letters.peek() == Some(&'\'') => {
                letters.next();
                open.push('\'');
            }
            (Some(_), '\'') => labels.extend(label.take()),
            (Some(open), letter) => open.push(letter),
        }
    }
    labels
}

/// The type to declare for a kind.
///
/// # Errors
/// In words, when no type holds every value of the kind.
pub(super) fn column_type(kind: &Kind) -> Result<String, String> {
    let sized = |name: &str, digits: u8| {
        if digits == 0 { name.to_owned() } else { format!("{name}({})", digits.min(6)) }
    };
    let signed = |unsigned: bool| if unsigned { " unsigned" } else { "" };
    Ok(match kind {
        Kind::Bool => "tinyint(1)".to_owned(),
        Kind::Int { bits, unsigned } => {
            let name = match bits {
                0..=8 => "tinyint",
                9..=16 => "smallint",
                17..=24 => "mediumint",
                25..=32 => "int",
                _ => "bigint",
            };
            format!("{name}{}", signed(*unsigned))
        }
        Kind::Decimal { size: Some((size, scale)), unsigned } if *size <= 65 && *scale <= 30 => {
            format!("decimal({size},{scale}){}", signed(*unsigned))
        }
        Kind::Decimal { size: Some((size, scale)), .. } => {
            return Err(format!("decimals of {size} digits, {scale} after the point: at most 65 and 30 fit"));
        }
        Kind::Decimal { size: None, .. } => {
            return Err(
                "decimals without a limit: say how many digits, at most 65 and 30 after the point".into()
            );
        }
        Kind::Float { bits: 32 } => "float".to_owned(),
        Kind::Float { .. } => "double".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Time { digits, .. } => sized("time", *digits),
        Kind::DateTime { digits } => sized("datetime", *digits),
        Kind::Timestamp { digits } => sized("timestamp", *digits),
        Kind::Year => "year".to_owned(),
        Kind::Char { length } if *length <= 255 => format!("char({length})"),
        Kind::Char { length } => long_text(Some(*length)),
        Kind::Text { limit } => long_text(*limit),
        Kind::Binary { length } if *length <= 255 => format!("binary({length})"),
        Kind::Binary { length } => long_bytes(Some(*length)),
        Kind::Bytes { limit } => long_bytes(*limit),
        Kind::Bit { width, varying: false } if *width <= 64 => format!("bit({width})"),
        Kind::Bit { width, varying: false } => return Err(format!("{width} bits: at most 64 fit")),
        Kind::Bit { varying: true, .. } => {
            return Err(
                "bit strings of differing length: every value of a BIT is as wide as its column".into()
            );
        }
        Kind::Json { .. } => "json".to_owned(),
        Kind::Uuid => "char(36) CHARACTER SET ascii".to_owned(),
        Kind::Enum { labels } => format!("enum({})", quoted(labels)),
        Kind::Set { labels } => format!("set({})", quoted(labels)),
        Kind::Interval => return Err("calendar spans: there is no such type; copy them as text".into()),
        Kind::Other { native, .. } if kind == &self::kind(native) && is_own(native) => native.clone(),
        Kind::Other { native, .. } => return Err(format!("{native}: there is no such type")),
        Kind::Any => return Err("values of any type: there is no such type; say which one".into()),
    })
}

/// Types that are nowhere but here.
fn is_own(native: &str) -> bool {
    let base = native.split(['(', ' ']).next().unwrap_or_default();
    matches!(self::kind(native), Kind::Other { bytes: true, .. }) || matches!(base, "inet4" | "inet6")
}

fn long_text(limit: Option<u32>) -> String {
    match limit {
        Some(limit) if limit <= VARCHAR => format!("varchar({limit})"),
        // At most four bytes a character.
        Some(limit) if limit <= 16_777_215 / 4 => "mediumtext".to_owned(),
        _ => "longtext".to_owned(),
    }
}

fn long_bytes(limit: Option<u32>) -> String {
    match limit {
        Some(limit) if limit <= VARCHAR => format!("varbinary({limit})"),
        Some(limit) if limit <= 65_535 => "blob".to_owned(),
        Some(limit) if limit <= 16_777_215 => "mediumblob".to_owned(),
        _ => "longblob".to_owned(),
    }
}

fn quoted(labels: &[String]) -> String {
    let quoted: Vec<String> = labels.iter().map(|label| text(label)).collect();
    quoted.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_types_have_kinds() {
        let int = |bits, unsigned| Kind::Int { bits, unsigned };
        for (native, expected) in [
            ("tinyint(1)", int(8, false)),
            ("bigint(20) unsigned", int(64, true)),
            ("int(5) unsigned zerofill", int(32, true)),
            ("decimal(12,2)", Kind::Decimal { size: Some((12, 2)), unsigned: false }),
            ("decimal(65,30) unsigned", Kind::Decimal { size: Some((65, 30)), unsigned: true }),
            ("float(7,3)", Kind::Float { bits: 32 }),
            ("double", Kind::Float { bits: 64 }),
            ("time(3)", Kind::Time { digits: 3, span: true }),
            ("datetime", Kind::DateTime { digits: 0 }),
            ("timestamp(6)", Kind::Timestamp { digits: 6 }),
            ("year(4)", Kind::Year),
            ("char(36)", Kind::Char { length: 36 }),
            ("varchar(64)", Kind::Text { limit: Some(64) }),
            ("longtext", Kind::Text { limit: None }),
            ("varbinary(9)", Kind::Bytes { limit: Some(9) }),
            ("bit(10)", Kind::Bit { width: 10, varying: false }),
            ("json", Kind::Json { binary: true }),
            ("point", Kind::Other { native: "point".into(), bytes: true }),
            ("inet6", Kind::Other { native: "inet6".into(), bytes: false }),
            (
                "enum('a','it''s','x,(y)')",
                Kind::Enum { labels: vec!["a".into(), "it's".into(), "x,(y)".into()] },
            ),
            ("set('','B')", Kind::Set { labels: vec![String::new(), "B".into()] }),
        ] {
            assert_eq!(kind(native), expected, "{native}");
        }
    }

    #[test]
    fn kinds_have_types_that_hold_them_or_none() {
        for (kind, expected) in [
            (Kind::Bool, "tinyint(1)"),
            (Kind::Int { bits: 24, unsigned: true }, "mediumint unsigned"),
            (Kind::Text { limit: None }, "longtext"),
            (Kind::Text { limit: Some(20_000) }, "mediumtext"),
            (Kind::Text { limit: Some(20) }, "varchar(20)"),
            (Kind::Bytes { limit: Some(65_535) }, "blob"),
            (Kind::Time { digits: 6, span: true }, "time(6)"),
            (Kind::Uuid, "char(36) CHARACTER SET ascii"),
            (Kind::Enum { labels: vec!["it's".into()] }, "enum('it\\'s')"),
            (Kind::Other { native: "point".into(), bytes: true }, "point"),
        ] {
            assert_eq!(column_type(&kind), Ok(expected.to_owned()));
        }
        for kind in [
            Kind::Any,
            Kind::Interval,
            Kind::Decimal { size: None, unsigned: false },
            Kind::Decimal { size: Some((66, 0)), unsigned: false },
            Kind::Bit { width: 65, varying: false },
            Kind::Bit { width: 8, varying: true },
            Kind::Other { native: "int4range".into(), bytes: false },
        ] {
            assert!(column_type(&kind).is_err(), "{kind:?}");
        }
    }
}
