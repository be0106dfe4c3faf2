//! Hashes of rows in SQL.
//!
//! In: columns of both ends. Out: expressions. Never: a text that differs between engines for equal values.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use super::literals::{ident, select_expr};
use crate::db::Side;
use crate::schema::Kind;

/// Text of a value for a hash; see the table in the code.
pub(super) fn hash_text(side: &Side<'_>) -> Option<String> {
    let own = &side.column.kind;
    let name = ident(&side.column.name);
    let is_text = |kind: &Kind| matches!(kind, Kind::Char { .. } | Kind::Text { .. } | Kind::Any);
    let utf8 = |expr: &str| format!("CONVERT({expr} USING utf8mb4)");
    Some(match (own, side.other) {
        // As a DOUBLE: what is written of a FLOAT has six digits.
        (Kind::Float { bits }, Kind::Float { bits: other }) if bits == other || side.same_engine => {
            format!("CONCAT({name}*1E0)")
        }
        (Kind::Float { .. } | Kind::Json { .. }, _) if !side.same_engine => return None,
        (Kind::Json { .. }, Kind::Json { .. }) => utf8(&name),
        (Kind::Float { .. } | Kind::Json { .. }, _) => return None,
        (Kind::Bool | Kind::Int { .. } | Kind::Year, other) => match other {
            Kind::Float { .. } | Kind::Json { .. } => return None,
            _ => format!("CONCAT({})", select_expr(side.column)),
        },
        (Kind::Decimal { size, .. }, other) => {
            let scale = size.map_or(0, |(_, scale)| scale);
            let scale = match other {
                Kind::Decimal { size: Some((_, other)), .. } => scale.min(*other),
                Kind::Bool | Kind::Int { .. } | Kind::Year => 0,
                Kind::Float { .. } | Kind::Json { .. } => return None,
                _ => scale,
            };
            format!("CONCAT(CAST({name} AS DECIMAL(65,{scale})))")
        }
        (Kind::Date, other) => match other {
            Kind::Date | Kind::DateTime { .. } | Kind::Timestamp { .. } => format!("CONCAT({name})"),
            other if is_text(other) => format!("CONCAT({name})"),
            _ => return None,
        },
        (Kind::DateTime { .. } | Kind::Timestamp { .. }, Kind::Date) => format!("LEFT({name},10)"),
        (
            Kind::DateTime { digits } | Kind::Timestamp { digits },
            Kind::DateTime { digits: other } | Kind::Timestamp { digits: other },
        ) => match (*digits).min(*other) {
            0 => format!("CONCAT(LEFT({name},19),'.000000')"),
            least => format!("RPAD(LEFT({name},{}),26,'0')", 20 + least),
        },
        (Kind::Time { digits, .. }, Kind::Time { .. } | Kind::Interval) => {
            let other = match side.other {
                Kind::Time { digits, .. } => *digits,
                _ => 6,
            };
            let lost = 10_u32.pow(6 - u32::from((*digits).min(other)).min(6));
            let fraction = match lost {
                1 => format!("MICROSECOND({name})"),
                lost => format!("MICROSECOND({name}) DIV {lost} * {lost}"),
            };
            format!(
                "CONCAT(IF({name}<'00:00:00',-1,1)*((HOUR({name})*3600+MINUTE({name})*60+SECOND({name}))\
                 *1000000+{fraction}))"
            )
        }
        (Kind::DateTime { .. } | Kind::Timestamp { .. } | Kind::Time { .. }, other) if is_text(other) => {
            format!("CONCAT({name})")
        }
        (Kind::DateTime { .. } | Kind::Timestamp { .. } | Kind::Time { .. }, _) => return None,
        (Kind::Binary { .. } | Kind::Bytes { .. }, _) => format!("LOWER(HEX({name}))"),
        (Kind::Bit { .. }, Kind::Bit { .. }) => format!("LOWER(HEX({name}+0))"),
        (Kind::Bit { width, .. }, other) if is_text(other) => {
            format!("LPAD(CONV({name}+0,10,2),{width},'0')")
        }
        (Kind::Bit { .. }, _) => return None,
        (Kind::Char { .. } | Kind::Text { .. }, Kind::Uuid) => format!("LOWER({})", utf8(&name)),
        (Kind::Char { .. } | Kind::Text { .. }, other) => {
            let either = matches!(own, Kind::Char { .. }) || matches!(other, Kind::Char { .. });
            if either { format!("TRIM(TRAILING ' ' FROM {})", utf8(&name)) } else { utf8(&name) }
        }
        (Kind::Enum { .. } | Kind::Set { .. }, Kind::Char { .. }) => {
            format!("TRIM(TRAILING ' ' FROM {})", utf8(&name))
        }
        (Kind::Enum { .. } | Kind::Set { .. }, _) => utf8(&name),
        (Kind::Uuid, _) => format!("LOWER(CAST({name} AS CHAR))"),
        (Kind::Other { native, bytes }, Kind::Other { native: other, .. }) if native == other => {
            match (side.same_engine, bytes) {
                (false, _) => return None,
                (true, true) => format!("LOWER(HEX({name}))"),
                (true, false) => format!("CAST({name} AS CHAR)"),
            }
        }
        (Kind::Other { .. } | Kind::Interval | Kind::Any, _) => return None,
    })
}

/// A hash of a row; see [`row_hash`](crate::db::Dialect::row_hash). SHA1 costs the servers a quarter of MD5, and
/// CONV as much again; two CRCs in its place were no cheaper and, being linear, weaker in sums.
pub(super) fn row_hash(texts: &[String], same_engine: bool) -> String {
    if same_engine && !texts.is_empty() {
        // No text in UTF-8 holds these two bytes, so no lengths are needed, and each text is made once.
        let parts: Vec<String> =
            texts.iter().map(|text| format!("IFNULL(CAST({text} AS BINARY),X'FE')")).collect();
        return sixty_bits("SHA1", &format!("CONCAT_WS(X'FF',{})", parts.join(",")));
    }
    let parts: Vec<String> =
        texts.iter().map(|text| format!("IFNULL(CONCAT(LENGTH({text}),':',{text}),'N')")).collect();
    let row = if parts.is_empty() { "''".to_owned() } else { format!("CONCAT({})", parts.join(",")) };
    sixty_bits(if same_engine { "SHA1" } else { "MD5" }, &row)
}

fn sixty_bits(digest: &str, row: &str) -> String {
    format!("CAST(CONV(LEFT({digest}({row}),15),16,10) AS UNSIGNED)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;

    fn hashed(kind: Kind, native: &str, other: &Kind, same_engine: bool) -> Option<String> {
        let column = Column {
            name: "c".into(),
            native: native.into(),
            kind,
            nullable: true,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        };
        hash_text(&Side { column: &column, other, same_engine })
    }

    #[test]
    fn a_hash_is_of_what_both_ends_keep() {
        let seconds = |digits| Kind::DateTime { digits };
        let decimal = |scale| Kind::Decimal { size: Some((20, scale)), unsigned: false };
        let text = Kind::Text { limit: None };
        let bit = Kind::Bit { width: 10, varying: false };
        for (kind, other, expected) in [
            (seconds(6), seconds(0), "CONCAT(LEFT(`c`,19),'.000000')"),
            (seconds(3), seconds(6), "RPAD(LEFT(`c`,23),26,'0')"),
            (decimal(4), decimal(2), "CONCAT(CAST(`c` AS DECIMAL(65,2)))"),
            (decimal(4), Kind::Int { bits: 64, unsigned: false }, "CONCAT(CAST(`c` AS DECIMAL(65,0)))"),
            (text.clone(), text.clone(), "CONVERT(`c` USING utf8mb4)"),
            (text.clone(), Kind::Char { length: 3 }, "TRIM(TRAILING ' ' FROM CONVERT(`c` USING utf8mb4))"),
            (Kind::Char { length: 36 }, Kind::Uuid, "LOWER(CONVERT(`c` USING utf8mb4))"),
            (bit.clone(), text.clone(), "LPAD(CONV(`c`+0,10,2),10,'0')"),
            (bit.clone(), bit, "LOWER(HEX(`c`+0))"),
            (seconds(3), Kind::Date, "LEFT(`c`,10)"),
            (Kind::Date, seconds(3), "CONCAT(`c`)"),
        ] {
            assert_eq!(hashed(kind, "", &other, false).as_deref(), Some(expected));
        }
        let float = Kind::Float { bits: 64 };
        assert_eq!(hashed(float.clone(), "double", &Kind::Float { bits: 32 }, false), None);
        assert!(hashed(float.clone(), "double", &float, true).is_some());
        assert_eq!(hashed(seconds(0), "datetime", &Kind::Int { bits: 64, unsigned: false }, false), None);
    }
}
