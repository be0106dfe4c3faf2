//! Names, literals, and the expressions by which a column is read, ordered and compared.
//!
//! In: columns, canonical values. Out: SQL. Never: a value that is not quoted or checked to be a number.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use crate::db::Comparison;
use crate::schema::{Column, Kind};

/// A quoted identifier.
pub(super) fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string literal (a backslash escapes: sessions say so in their sql_mode).
pub(super) fn text(value: &str) -> String {
    let mut literal = String::with_capacity(value.len() + 2);
    literal.push('\'');
    for letter in value.chars() {
        match letter {
            '\'' => literal.push_str("\\'"),
            '\\' => literal.push_str("\\\\"),
            '\0' => literal.push_str("\\0"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

/// How a column's values are compared with literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// As a number; what orders by something else than its text (labels, bits) too.
    Number,
    /// As text, in the column's collation or type.
    Text,
    /// As bytes.
    Hex,
    /// Not at all.
    Never,
}

fn compared(kind: &Kind) -> Compared {
    match kind {
        Kind::Bool | Kind::Int { .. } | Kind::Decimal { .. } | Kind::Year => Compared::Number,
        Kind::Enum { .. } | Kind::Set { .. } | Kind::Bit { .. } => Compared::Number,
        Kind::Date | Kind::Time { .. } | Kind::DateTime { .. } | Kind::Timestamp { .. } => Compared::Text,
        Kind::Char { .. } | Kind::Text { .. } | Kind::Uuid => Compared::Text,
        Kind::Binary { .. } | Kind::Bytes { .. } => Compared::Hex,
        Kind::Float { .. } | Kind::Json { .. } | Kind::Interval | Kind::Other { .. } | Kind::Any => {
            Compared::Never
        }
    }
}

/// A literal of a value as [`key_select`] gives it.
pub(super) fn literal(column: &Column, value: &str) -> String {
    match compared(&column.kind) {
        Compared::Number if is_number(value) => value.to_owned(),
        Compared::Hex
            if value.len().is_multiple_of(2) && value.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            format!("X'{value}'")
        }
        _ => text(value),
    }
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(fraction)
}

/// Whether the server pads the column's numbers with zeros when it prints them.
fn is_padded(column: &Column) -> bool {
    column.native.contains("zerofill") || column.kind == Kind::Year
}

/// The expression of which [`super::read`] makes the text form of the column's kind.
pub(super) fn select_expr(column: &Column) -> String {
    let name = ident(&column.name);
    match &column.kind {
        // As a double, since a float is printed with six digits; times one and not plus zero, which loses -0.
        Kind::Float { bits: 32 } => format!("{name}*1E0"),
        Kind::Float { .. } if is_padded(column) => format!("{name}*1E0"),
        Kind::Int { .. } | Kind::Decimal { .. } | Kind::Year if is_padded(column) => format!("{name}+0"),
        _ => name,
    }
}

/// The expression to order and compare by.
pub(super) fn key_expr(column: &Column) -> Option<String> {
    (compared(&column.kind) != Compared::Never).then(|| ident(&column.name))
}

/// The expression that [`literal`] understands.
pub(super) fn key_select(column: &Column) -> String {
    let name = ident(&column.name);
    match &column.kind {
        Kind::Enum { .. } | Kind::Set { .. } | Kind::Bit { .. } => format!("{name}+0"),
        Kind::Binary { .. } | Kind::Bytes { .. } => format!("LOWER(HEX({name}))"),
        _ => select_expr(column),
    }
}

/// A comparison of a whole key, in the expanded form: the servers answer `(a, b) > (x, y)` by a scan.
pub(super) fn compare(key: &[(String, String)], comparison: Comparison) -> String {
    let (strict, loose) = match comparison {
        Comparison::After => (">", ">"),
        Comparison::From => (">", ">="),
        Comparison::UpTo => ("<", "<="),
        Comparison::Equal => {
            let parts: Vec<String> = key.iter().map(|(expr, value)| format!("{expr} = {value}")).collect();
            return format!("({})", parts.join(" AND "));
        }
    };
    let Some(((expr, value), rest)) = key.split_first() else { return "(1 = 1)".to_owned() };
    if rest.is_empty() {
        return format!("({expr} {loose} {value})");
    }
    let rest = compare(rest, comparison);
    format!("({expr} {strict}= {value} AND ({expr} {strict} {value} OR ({expr} = {value} AND {rest})))")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, native: &str) -> Column {
        Column {
            name: "c`d".into(),
            native: native.into(),
            kind,
            nullable: false,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        }
    }

    #[test]
    fn literals_are_numbers_hex_or_quoted() {
        let int = column(Kind::Int { bits: 64, unsigned: true }, "bigint unsigned");
        let bytes = column(Kind::Binary { length: 2 }, "binary(2)");
        let words = column(Kind::Text { limit: None }, "text");
        for (column, value, expected) in [
            (&int, "18446744073709551615", "18446744073709551615"),
            (&int, "-1.50", "-1.50"),
            (&int, "1 OR 1=1", "'1 OR 1=1'"),
            (&int, "1e5", "'1e5'"),
            (&int, "", "''"),
            (&bytes, "00ff", "X'00ff'"),
            (&bytes, "0", "'0'"),
            (&words, "O'Neil\\ 🦀", "'O\\'Neil\\\\ 🦀'"),
        ] {
            assert_eq!(literal(column, value), expected);
        }
        assert_eq!(ident("a`b"), "`a``b`");
    }

    #[test]
    fn a_key_is_compared_column_by_column() {
        let key = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        assert_eq!(compare(&key[..1], Comparison::After), "(a > 1)");
        assert_eq!(compare(&key, Comparison::After), "(a >= 1 AND (a > 1 OR (a = 1 AND (b > 2))))");
        assert_eq!(compare(&key, Comparison::From), "(a >= 1 AND (a > 1 OR (a = 1 AND (b >= 2))))");
        assert_eq!(compare(&key, Comparison::UpTo), "(a <= 1 AND (a < 1 OR (a = 1 AND (b <= 2))))");
        assert_eq!(compare(&key, Comparison::Equal), "(a = 1 AND b = 2)");
    }

    #[test]
    fn padded_numbers_and_floats_are_read_as_they_are() {
        let float = column(Kind::Float { bits: 32 }, "float");
        assert_eq!(select_expr(&float), "`c``d`*1E0");
        assert_eq!(key_expr(&float), None);
        let padded = column(Kind::Int { bits: 32, unsigned: true }, "int(5) unsigned zerofill");
        assert_eq!(select_expr(&padded), "`c``d`+0");
        let label = column(Kind::Enum { labels: vec!["a".into()] }, "enum('a')");
        assert_eq!(key_select(&label), "`c``d`+0");
    }
}
