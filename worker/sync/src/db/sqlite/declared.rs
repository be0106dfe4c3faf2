//! What a declared type stands for.
//!
//! In: the words behind a column's name in CREATE TABLE. Out: a [`Kind`]; and back. Never: a look at a value.
//! SQLite does not hold anybody to a declared type; what does not fit is found value by value.
//! Tests: below.

use crate::schema::Kind;

/// The kind that a declared type names; types that say nothing are [`Kind::Any`].
pub(super) fn kind(declared: &str) -> Kind {
    let upper = declared.trim().to_ascii_uppercase();
    let (name, sizes) = upper.split_once('(').unwrap_or((&upper, ""));
    let name = name.trim();
    let mut sizes = sizes.trim_end_matches(')').split(',').map_while(|size| size.trim().parse::<u32>().ok());
    let first = sizes.next();
    let second = sizes.next();
    let digits =
        first.and_then(|digits| u8::try_from(digits).ok()).filter(|digits| *digits <= 6).unwrap_or(6);
    let has = |part: &str| name.contains(part);
    match name {
        "" | "ANY" => Kind::Any,
        _ if has("JSON") => Kind::Json { binary: false },
        "UUID" | "GUID" | "UNIQUEIDENTIFIER" => Kind::Uuid,
        "BOOL" | "BOOLEAN" => Kind::Bool,
        "DATE" => Kind::Date,
        "DATETIME" => Kind::DateTime { digits },
        _ if name.starts_with("TIMESTAMP") => Kind::Timestamp { digits },
        "TIME" => Kind::Time { digits, span: false },
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" => {
            let size = first.and_then(|digits| u16::try_from(digits).ok());
            let scale = second.and_then(|scale| u16::try_from(scale).ok()).unwrap_or(0);
            Kind::Decimal { size: size.map(|digits| (digits, scale)), unsigned: false }
        }
        // The order of these is SQLite's own.
        _ if has("INT") => Kind::Int { bits: 64, unsigned: false },
        _ if has("CHAR") || has("CLOB") || has("TEXT") => Kind::Text { limit: first },
        _ if has("BLOB") || has("BINARY") => Kind::Bytes { limit: None },
        _ if has("REAL") || has("FLOA") || has("DOUB") => Kind::Float { bits: 64 },
        _ => Kind::Any,
    }
}

/// The type to declare for a kind.
///
/// # Errors
/// In words, when values of the kind would not be kept as they are.
pub(super) fn column_type(kind: &Kind) -> Result<String, String> {
    Ok(match kind {
        Kind::Bool => "BOOLEAN".to_owned(),
        Kind::Int { bits: 64, unsigned: true } => {
            return Err("SQLite's whole numbers end at 2^63; declare text".to_owned());
        }
        Kind::Int { .. } => "INTEGER".to_owned(),
        Kind::Decimal { size: Some((digits, scale)), .. } => format!("DECIMAL({digits},{scale})"),
        Kind::Decimal { size: None, .. } => "DECIMAL".to_owned(),
        Kind::Float { .. } => "REAL".to_owned(),
        Kind::Date => "DATE".to_owned(),
        Kind::Time { digits, span: false } => format!("TIME({digits})"),
        Kind::DateTime { digits } => format!("DATETIME({digits})"),
        Kind::Timestamp { digits } => format!("TIMESTAMP({digits})"),
        Kind::Text { limit: None } => "TEXT".to_owned(),
        Kind::Text { limit: Some(limit) } => format!("VARCHAR({limit})"),
        Kind::Bytes { limit: None } => "BLOB".to_owned(),
        // With TEXT in its name, since a column of type JSON makes a number of what looks like one.
        Kind::Json { .. } => "JSON TEXT".to_owned(),
        Kind::Uuid => "UUID".to_owned(),
        Kind::Any => String::new(),
        other => return Err(format!("SQLite has no type for {other:?}; declare text")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_has_a_kind() {
        let int = || Kind::Int { bits: 64, unsigned: false };
        let decimal = |size| Kind::Decimal { size, unsigned: false };
        for (declared, expected) in [
            ("INTEGER", int()),
            ("int", int()),
            ("UNSIGNED BIG INT", int()),
            ("tinyint(1)", int()),
            ("FLOATING POINT", int()),
            ("REAL", Kind::Float { bits: 64 }),
            ("double precision", Kind::Float { bits: 64 }),
            ("FLOAT", Kind::Float { bits: 64 }),
            ("TEXT", Kind::Text { limit: None }),
            ("VARCHAR(20)", Kind::Text { limit: Some(20) }),
            ("NATIVE CHARACTER(70)", Kind::Text { limit: Some(70) }),
            ("CLOB", Kind::Text { limit: None }),
            ("BLOB", Kind::Bytes { limit: None }),
            ("varbinary(16)", Kind::Bytes { limit: None }),
            ("BOOLEAN", Kind::Bool),
            ("DATE", Kind::Date),
            ("DATETIME", Kind::DateTime { digits: 6 }),
            ("DATETIME(3)", Kind::DateTime { digits: 3 }),
            ("timestamp", Kind::Timestamp { digits: 6 }),
            ("TIMESTAMP WITH TIME ZONE", Kind::Timestamp { digits: 6 }),
            ("TIME(0)", Kind::Time { digits: 0, span: false }),
            ("DECIMAL(10,2)", decimal(Some((10, 2)))),
            ("DECIMAL(10, 2)", decimal(Some((10, 2)))),
            ("NUMERIC(7)", decimal(Some((7, 0)))),
            ("NUMERIC", decimal(None)),
            ("UUID", Kind::Uuid),
            ("JSON", Kind::Json { binary: false }),
            ("JSON TEXT", Kind::Json { binary: false }),
            ("", Kind::Any),
            ("ANY", Kind::Any),
            ("STRING", Kind::Any),
        ] {
            assert_eq!(kind(declared), expected, "{declared}");
        }
    }

    #[test]
    fn a_kind_that_was_declared_is_read_back() {
        for declared in [
            "INTEGER",
            "REAL",
            "TEXT",
            "VARCHAR(9)",
            "BLOB",
            "BOOLEAN",
            "DATE",
            "DATETIME(3)",
            "TIMESTAMP(0)",
            "TIME(6)",
            "DECIMAL(9,2)",
            "DECIMAL",
            "UUID",
            "JSON TEXT",
            "",
        ] {
            assert_eq!(column_type(&kind(declared)).as_deref(), Ok(declared));
        }
        assert!(column_type(&Kind::Int { bits: 64, unsigned: true }).unwrap_err().contains("text"));
        assert!(column_type(&Kind::Interval).unwrap_err().contains("Interval"));
    }
}
