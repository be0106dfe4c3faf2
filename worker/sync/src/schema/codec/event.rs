//! What can be lost on the way to a target column: the closed list of events.
//!
//! In: nothing. Out: names as they appear in reports and reject tables, with their meaning.
//! Never: a name that is not in [`ALL`].
//! Tests: `tests.rs` sees every one of them happen.

/// The text does not read as a value of the target's type. No nearest value.
pub const VALUE_NOT_PARSED: &str = "VALUE_NOT_PARSED";
/// A whole number outside the target's range; nearest: the end of the range.
pub const INT_OUT_OF_RANGE: &str = "INT_OUT_OF_RANGE";
/// Digits after the point that the target does not keep; nearest: rounded half away from zero.
pub const DECIMAL_ROUNDED: &str = "DECIMAL_ROUNDED";
/// More digits before the point than the target has, or a sign it does not have; nearest: the end of the range.
pub const DECIMAL_OVERFLOW: &str = "DECIMAL_OVERFLOW";
/// A number that the target's floating point does not hold to the last digit, or the sign of a zero outside PostgreSQL;
/// nearest: the closest one.
pub const FLOAT_ROUNDED: &str = "FLOAT_ROUNDED";
/// A number beyond the target's floating point. No nearest value.
pub const FLOAT_OVERFLOW: &str = "FLOAT_OVERFLOW";
/// NaN or an infinity where the target has none. No nearest value.
pub const NUMBER_NOT_FINITE: &str = "NUMBER_NOT_FINITE";
/// A number other than 0 and 1 for a boolean; nearest: 1.
pub const BOOL_NOT_0_OR_1: &str = "BOOL_NOT_0_OR_1";
/// A zero date, or one with a zero part, for a target without them. No nearest value.
pub const DATE_ZERO: &str = "DATE_ZERO";
/// A date before the year 1 or after 9999, or an infinite one, for a target without them; nearest: the end of
/// the range.
pub const DATE_OUT_OF_RANGE: &str = "DATE_OUT_OF_RANGE";
/// An instant outside 1970 to 2038 for MySQL's TIMESTAMP; nearest: the end of the range.
pub const TIMESTAMP_OUT_OF_RANGE: &str = "TIMESTAMP_OUT_OF_RANGE";
/// A time of day that is not midnight for a column of dates; nearest: the date.
pub const DATETIME_CUT: &str = "DATETIME_CUT";
/// Digits of a second's fraction that the target does not keep; nearest: cut off, never rounded up.
pub const TIME_ROUNDED: &str = "TIME_ROUNDED";
/// A time outside the target's range: negative or past 24:00:00 for a time of day, past 838:59:59 for MySQL.
/// No nearest value.
pub const TIME_OUT_OF_RANGE: &str = "TIME_OUT_OF_RANGE";
/// NUL characters in a text for PostgreSQL; nearest: without them.
pub const TEXT_NUL: &str = "TEXT_NUL";
/// A text that is no UTF-8; nearest: with U+FFFD in the place of what is not.
pub const TEXT_NOT_UTF8: &str = "TEXT_NOT_UTF8";
/// A text with more characters than the target takes; nearest: its beginning.
pub const TEXT_TRUNCATED: &str = "TEXT_TRUNCATED";
/// Blanks at the end of a text for a target that pads with blanks; nearest: without them.
pub const TEXT_BLANKS_TRIMMED: &str = "TEXT_BLANKS_TRIMMED";
/// More bytes than the target takes; nearest: its beginning.
pub const BYTES_TRUNCATED: &str = "BYTES_TRUNCATED";
/// Fewer bytes than a target of fixed length has; nearest: with zero bytes behind.
pub const BYTES_PADDED: &str = "BYTES_PADDED";
/// `\u0000` in JSON for PostgreSQL's jsonb; nearest: without it.
pub const JSON_NUL: &str = "JSON_NUL";
/// Half of a surrogate pair in JSON; nearest: with `\ufffd` in its place.
pub const JSON_SURROGATE: &str = "JSON_SURROGATE";
/// An object that names a key twice for a target that keeps one of them; nearest: as the target makes it.
pub const JSON_KEY_TWICE: &str = "JSON_KEY_TWICE";
/// A number in JSON that the target keeps as floating point and so changes; nearest: as the target makes it.
pub const JSON_NUMBER_ROUNDED: &str = "JSON_NUMBER_ROUNDED";
/// A label that the target does not declare. No nearest value.
pub const ENUM_UNKNOWN_LABEL: &str = "ENUM_UNKNOWN_LABEL";
/// More bits than the target has, or fewer than a fixed one asks for; nearest: the last ones, with zeros in
/// front where they are too few.
pub const BIT_WIDTH: &str = "BIT_WIDTH";

/// All events.
pub const ALL: [&str; 26] = [
    VALUE_NOT_PARSED,
    INT_OUT_OF_RANGE,
    DECIMAL_ROUNDED,
    DECIMAL_OVERFLOW,
    FLOAT_ROUNDED,
    FLOAT_OVERFLOW,
    NUMBER_NOT_FINITE,
    BOOL_NOT_0_OR_1,
    DATE_ZERO,
    DATE_OUT_OF_RANGE,
    TIMESTAMP_OUT_OF_RANGE,
    DATETIME_CUT,
    TIME_ROUNDED,
    TIME_OUT_OF_RANGE,
    TEXT_NUL,
    TEXT_NOT_UTF8,
    TEXT_TRUNCATED,
    TEXT_BLANKS_TRIMMED,
    BYTES_TRUNCATED,
    BYTES_PADDED,
    JSON_NUL,
    JSON_SURROGATE,
    JSON_KEY_TWICE,
    JSON_NUMBER_ROUNDED,
    ENUM_UNKNOWN_LABEL,
    BIT_WIDTH,
];
