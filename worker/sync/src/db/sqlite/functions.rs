//! Functions that every connection of ours has, since SQLite has none like them.
//!
//! | function | answers |
//! |---|---|
//! | `shanty_row_hash(text, …)` | 60 bits of md5 over `N` for NULL, `<length>:<text>` otherwise |
//! | `shanty_moment(text, digits)` | `YYYY-MM-DD HH:MM:SS.ffffff`, the fraction cut to so many digits |
//! | `shanty_micros(text, digits)` | a time as whole microseconds, cut likewise |
//! | `shanty_bits(number)`, `shanty_real(bits)` | the bits of a floating point number, and back (SQLite's text of one reads back to another) |
//!
//! In: values. Out: values. Never: a result that depends on a setting. Tests: below.

use md5::{Digest as _, Md5};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result};

/// Makes them known to a connection.
///
/// # Errors
/// The driver's.
pub(super) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_UTF8;
    connection.create_scalar_function("shanty_row_hash", -1, flags, row_hash)?;
    connection.create_scalar_function("shanty_bits", 1, flags, |context| {
        Ok(context.get::<f64>(0)?.to_bits().cast_signed())
    })?;
    connection.create_scalar_function("shanty_real", 1, flags, |context| {
        Ok(f64::from_bits(context.get::<i64>(0)?.cast_unsigned()))
    })?;
    connection.create_scalar_function("shanty_moment", 2, flags, |context| reformed(context, moment))?;
    connection.create_scalar_function("shanty_micros", 2, flags, |context| reformed(context, micros))
}

fn row_hash(context: &Context<'_>) -> Result<i64> {
    let mut hash = Md5::new();
    let mut number = Vec::with_capacity(24);
    for index in 0..context.len() {
        let value = context.get_raw(index);
        match super::cells::text(value, false, &mut number) {
            None => hash.update(b"N"),
            Some(text) => {
                let mut length = Vec::with_capacity(24);
                super::cells::write_int(i64::try_from(text.len()).unwrap_or(i64::MAX), &mut length);
                length.push(b':');
                hash.update(&length);
                hash.update(text);
            }
        }
    }
    let digest = hash.finalize();
    let first = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    Ok(i64::try_from(first >> 4).unwrap_or(0))
}

/// A text made anew; one that is not understood, and what is no text, stays as it is.
fn reformed(context: &Context<'_>, make: fn(&str, usize) -> Option<String>) -> Result<ToSqlOutput<'static>> {
    let digits = usize::try_from(context.get::<i64>(1)?).unwrap_or(6).min(6);
    let value = context.get_raw(0);
    let made = match value {
        ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(|text| make(text, digits)),
        _ => None,
    };
    Ok(ToSqlOutput::Owned(match made {
        Some(text) => rusqlite::types::Value::Text(text),
        None => rusqlite::types::Value::try_from(value)?,
    }))
}

/// The fraction's digits, cut and filled up to six.
fn fraction(digits: &str, keep: usize) -> Option<String> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| format!("{:0<6}", digits.get(..keep).unwrap_or(digits)))
}

fn moment(text: &str, keep: usize) -> Option<String> {
    let (whole, behind) = text.split_at_checked(19)?;
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b' ',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    let digits = if behind.is_empty() { "" } else { behind.strip_prefix('.')? };
    whole.bytes().enumerate().all(shape).then_some(())?;
    Some(format!("{whole}.{}", fraction(digits, keep)?.get(..6)?))
}

fn micros(text: &str, keep: usize) -> Option<String> {
    let (sign, clock) = text.strip_prefix('-').map_or(("", text), |clock| ("-", clock));
    let (clock, digits) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':').map(str::parse::<u64>);
    let (Some(Ok(hours)), Some(Ok(minutes)), Some(Ok(seconds)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let fraction = fraction(digits, keep)?.get(..6)?.parse::<u64>().ok()?;
    let all = hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds)?;
    let all = all.checked_mul(1_000_000)?.checked_add(fraction)?;
    Some(format!("{}{all}", if all == 0 { "" } else { sign }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(sql: &str) -> String {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        connection.query_row(&format!("SELECT CAST(({sql}) AS TEXT)"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_row_hash_is_sixty_bits_of_md5() {
        // printf 'N3:abc2:-10:' | md5sum
        let md5 = "3ae3b3ce383f086075eb5b5388caa05a";
        let whole = Md5::digest(b"N3:abc2:-10:");
        let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, md5);
        let expected = i64::from_str_radix(&md5[..15], 16).unwrap();
        assert_eq!(ask("shanty_row_hash(NULL, 'abc', -1, '')"), expected.to_string());
    }

    #[test]
    fn moments_and_times_have_one_form() {
        for (sql, expected) in [
            ("shanty_moment('2024-01-02 03:04:05', 6)", "2024-01-02 03:04:05.000000"),
            ("shanty_moment('2024-01-02 03:04:05.5', 6)", "2024-01-02 03:04:05.500000"),
            ("shanty_moment('2024-01-02 03:04:05.123456', 3)", "2024-01-02 03:04:05.123000"),
            ("shanty_moment('2024-01-02 03:04:05.123456', 0)", "2024-01-02 03:04:05.000000"),
            ("shanty_moment('infinity', 6)", "infinity"),
            ("shanty_moment(12, 6)", "12"),
            ("shanty_moment('2024-01-02T03:04:05Z', 6)", "2024-01-02T03:04:05Z"),
            ("shanty_micros('00:00:01.5', 6)", "1500000"),
            ("shanty_micros('-838:59:59', 6)", "-3020399000000"),
            ("shanty_micros('-00:00:00.0', 6)", "0"),
            ("shanty_micros('00:00:00.999999', 3)", "999000"),
            ("shanty_micros('soon', 3)", "soon"),
        ] {
            assert_eq!(ask(sql), expected, "{sql}");
        }
    }
}
