//! Hashes of rows in SQL.
//!
//! In: columns of both ends. Out: expressions. Never: a text that differs between engines for equal values.
//! Tests: below; against a server in `worker/sync/tests/mysql.rs`.

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
        (Kind::Float { .. } | Kind::Json { .. }, _) if !side.same_engine => return None,
        (Kind::Float { .. }, Kind::Float { .. }) => format!("CONCAT({name}*1E0)"),
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
        (Kind::Date, _) => format!("CONCAT({name})"),
        (
            Kind::DateTime { digits } | Kind::Timestamp { digits },
            Kind::DateTime { digits: other } | Kind::Timestamp { digits: other },
        ) => match (*digits).min(*other) {
            0 => format!("CONCAT(LEFT({name},19),'.000000')"),
            least => format!("RPAD(LEFT({name},{}),26,'0')", 20 + least),
        },
        (Kind::Time { digits, .. }, Kind::Time { digits: other, .. }) => {
            let lost = 10_u32.pow(6 - u32::from((*digits).min(*other)).min(6));
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
        (Kind::Bit { width, .. }, _) => {
            format!("LPAD(LOWER(HEX({name}+0)),{},'0')", width.div_ceil(8).saturating_mul(2))
        }
        (Kind::Char { .. }, Kind::Uuid) => format!("LOWER({})", utf8(&name)),
        (Kind::Char { .. } | Kind::Text { .. }, other) => {
            let either = matches!(own, Kind::Char { .. }) || matches!(other, Kind::Char { .. });
            if either { format!("TRIM(TRAILING ' ' FROM {})", utf8(&name)) } else { utf8(&name) }
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

/// A hash of a row; see [`row_hash`](crate::db::Dialect::row_hash).
pub(super) fn row_hash(texts: &[String]) -> String {
    let parts: Vec<String> =
        texts.iter().map(|text| format!("IFNULL(CONCAT(LENGTH({text}),':',{text}),'N')")).collect();
    let row = if parts.is_empty() { "''".to_owned() } else { format!("CONCAT({})", parts.join(",")) };
    format!("CAST(CONV(LEFT(MD5({row}),15),16,10) AS UNSIGNED)")
}
