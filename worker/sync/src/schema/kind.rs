//! Kinds of values, and the one text form in which a value of a kind travels from a reader to a writer.
//!
//! | kind | text of a value |
//! |---|---|
//! | Bool | `0` `1` |
//! | Int, Year | decimal digits, `-` before negative ones |
//! | Decimal | plain decimal with all digits; from PostgreSQL also `NaN` `Infinity` `-Infinity` |
//! | Float | shortest text that reads back to the same bits; `NaN` `Infinity` `-Infinity` |
//! | Date | `YYYY-MM-DD`; as stored also `0000-00-00`, `infinity`, `… BC` |
//! | Time | `[-]HH:MM:SS[.ffffff]`, hours up to 838 |
//! | DateTime | `YYYY-MM-DD HH:MM:SS[.ffffff]`, no zone |
//! | Timestamp | the same, in UTC |
//! | Char, Text, Json, Enum, Set | UTF-8; a set's labels joined by `,` |
//! | Binary, Bytes | the bytes themselves |
//! | Bit | `0` and `1`, as many as its width |
//! | Uuid | small letters with hyphens |
//! | Interval | as PostgreSQL prints it (IntervalStyle postgres) |
//! | Other | as the server prints it; travels only between equal native types |
//! | Any | one byte for how SQLite keeps it, then its text: `i` whole number, `f` floating point, `t` text, `b` bytes |

use serde::{Deserialize, Serialize};

/// The kind of a column's values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// True or false.
    Bool,
    /// Whole numbers of `bits` (8, 16, 24, 32, 64).
    Int {
        /// Width.
        bits: u8,
        /// Without a sign.
        unsigned: bool,
    },
    /// Exact decimals; none for no declared limit (PostgreSQL `numeric`).
    Decimal {
        /// Digits in all, and after the point.
        size: Option<(u16, u16)>,
        /// Without a sign.
        unsigned: bool,
    },
    /// Binary floating point of `bits` 32 or 64.
    Float {
        /// Width.
        bits: u8,
    },
    /// A day.
    Date,
    /// A time of day or a span.
    Time {
        /// Digits of the second's fraction, 0 to 6.
        digits: u8,
        /// Whether it may be negative or longer than a day (MySQL TIME).
        span: bool,
    },
    /// A date with a time, without a zone.
    DateTime {
        /// Digits of the second's fraction, 0 to 6.
        digits: u8,
    },
    /// An instant.
    Timestamp {
        /// Digits of the second's fraction, 0 to 6.
        digits: u8,
    },
    /// A year (MySQL).
    Year,
    /// Text of fixed length in characters, padded with blanks.
    Char {
        /// Characters.
        length: u32,
    },
    /// Text; none for no declared limit in characters.
    Text {
        /// Most characters.
        limit: Option<u32>,
    },
    /// Bytes of fixed length.
    Binary {
        /// Bytes.
        length: u32,
    },
    /// Bytes; none for no declared limit.
    Bytes {
        /// Most bytes.
        limit: Option<u32>,
    },
    /// A string of bits.
    Bit {
        /// Bits; most of them where `varying`.
        width: u32,
        /// Whether shorter values are kept as they are (PostgreSQL `bit varying`).
        varying: bool,
    },
    /// JSON. `binary` where the server keeps its own normal form (jsonb, MySQL JSON).
    Json {
        /// Whether the server normalises it.
        binary: bool,
    },
    /// A universally unique id.
    Uuid,
    /// One of these labels.
    Enum {
        /// In order of declaration.
        labels: Vec<String>,
    },
    /// Any of these labels.
    Set {
        /// In order of declaration.
        labels: Vec<String>,
    },
    /// A calendar span (PostgreSQL).
    Interval,
    /// A type that only its own engine knows: arrays, ranges, inet, geometry, ….
    Other {
        /// The native type; equal on both sides or it cannot travel.
        native: String,
        /// Whether a value's text is bytes (geometry) rather than UTF-8.
        bytes: bool,
    },
    /// A value of any type, each with its own (SQLite without a declared type).
    Any,
}

impl Kind {
    /// Whether a value's text may be any bytes rather than UTF-8.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(self, Kind::Binary { .. } | Kind::Bytes { .. } | Kind::Other { bytes: true, .. })
    }
}
