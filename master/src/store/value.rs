//! Values: what goes into a statement and comes out of a row, and what a record with a table has to say.
//!
//! In: fields of records, rows. Out: values, fields. Never: talks to a database.
//! Integers are BIGINT in all dialects, times epoch milliseconds, structures JSON. A NUL character, which
//! PostgreSQL does not keep in text, is kept as its picture U+2400 in all of them.
//! Tests: the conformance suite; below.

use super::Error;
use super::error::trouble;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shanty_model::id::{AttemptId, RunId, ShardId};
use sqlx::Arguments as _;
use sqlx::Row as _;
use sqlx::any::{AnyArguments, AnyRow};

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Vec<u8>),
}

impl Value {
    /// Its size in bytes, about.
    pub(super) fn len(&self) -> usize {
        match self {
            Value::Int(_) => 8,
            Value::Text(text) => text.as_ref().map_or(1, String::len),
            Value::Blob(bytes) => bytes.len(),
        }
    }
}

/// The values as sqlx takes them.
pub(super) fn arguments(values: Vec<Value>) -> Result<AnyArguments, Error> {
    let mut arguments = AnyArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        match value {
            Value::Int(int) => arguments.add(int),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(bytes),
        }
        .map_err(|error| trouble("statement", sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}

/// A text without NUL characters.
pub(super) fn text(text: impl ToString) -> Value {
    let mut text = text.to_string();
    if text.contains('\0') {
        text = text.replace('\0', "\u{2400}");
    }
    Value::Text(Some(text))
}

/// A text that is a key: a longer one is a conflict in every dialect, as MySQL's indexes cannot hold it.
pub(super) fn key(what: &str, short: &str) -> Result<Value, Error> {
    const MOST: usize = 191;
    if short.chars().count() > MOST {
        return Err(Error::Conflict(format!("{what} is longer than {MOST} characters")));
    }
    Ok(text(short))
}

/// A number that counts from small; one beyond a BIGINT is a conflict.
pub(super) fn count(what: &str, number: u64) -> Result<Value, Error> {
    let number = i64::try_from(number)
        .map_err(|_| Error::Conflict(format!("{what} {number} is beyond what a BIGINT holds")))?;
    Ok(Value::Int(Some(number)))
}

pub(super) fn int(number: impl Into<i64>) -> Value {
    Value::Int(Some(number.into()))
}

/// JSON that is sure to be read back: what could be written but not read (a NaN) would keep every later
/// leader from starting.
pub(super) fn json<T: Serialize + DeserializeOwned>(what: &str, value: &T) -> Result<Value, Error> {
    let unfit = |error| Error::Conflict(format!("{what} cannot be kept as JSON: {error}"));
    let text = serde_json::to_string(value).map_err(unfit)?;
    serde_json::from_str::<T>(&text).map_err(unfit)?;
    Ok(Value::Text(Some(text)))
}

/// The fields of a row, in the order of its record's columns.
pub(super) struct Fields<'r> {
    row: &'r AnyRow,
    what: &'static str,
    next: usize,
}

impl<'r> Fields<'r> {
    pub(super) fn new(row: &'r AnyRow, what: &'static str) -> Fields<'r> {
        Fields { row, what, next: 0 }
    }

    fn take<T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>>(&mut self) -> Result<T, Error> {
        let at = self.next;
        self.next += 1;
        self.row.try_get(at).map_err(|error| trouble(self.what, error))
    }

    pub(super) fn int(&mut self) -> Result<i64, Error> {
        self.take()
    }

    pub(super) fn opt_int(&mut self) -> Result<Option<i64>, Error> {
        self.take()
    }

    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, Error> {
        let int = self.int()?;
        T::try_from(int).map_err(|_| self.corrupt(&format!("{int} is out of range")))
    }

    pub(super) fn text(&mut self) -> Result<String, Error> {
        self.take()
    }

    pub(super) fn opt_text(&mut self) -> Result<Option<String>, Error> {
        self.take()
    }

    pub(super) fn blob(&mut self) -> Result<Vec<u8>, Error> {
        self.take()
    }

    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, Error> {
        let text = self.text()?;
        text.parse().map_err(|error: T::Err| self.corrupt(&error.to_string()))
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|error| self.corrupt(&error.to_string()))
    }

    pub(super) fn opt_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some(text) = self.opt_text()? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| self.corrupt(&error.to_string()))
    }

    pub(super) fn run_id(&mut self) -> Result<RunId, Error> {
        Ok(RunId { job: self.parsed()?, number: self.number()? })
    }

    pub(super) fn shard_id(&mut self) -> Result<ShardId, Error> {
        Ok(ShardId { run: self.run_id()?, index: self.number()? })
    }

    pub(super) fn attempt_id(&mut self) -> Result<AttemptId, Error> {
        Ok(AttemptId { shard: self.shard_id()?, number: self.number()? })
    }

    pub(super) fn corrupt(&self, why: &str) -> Error {
        Error::Corrupt(format!("column {} of {}: {why}", self.next, self.what))
    }
}

/// A record with a table of its own.
pub(super) trait Record: Sized {
    /// The table.
    const TABLE: &'static str;
    /// Its columns, the key's first.
    const COLUMNS: &'static [&'static str];
    /// How many of them are the key.
    const KEYS: usize;
    /// The columns' values.
    fn values(&self) -> Result<Vec<Value>, Error>;
    /// The record of a row.
    fn read(fields: &mut Fields<'_>) -> Result<Self, Error>;
    /// Its name for people.
    fn name(&self) -> String;
}

/// A record with a `version`.
pub(super) trait Versioned: Record {
    fn version(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_back_is_refused_when_written() {
        assert!(matches!(json("x", &f64::NAN), Err(Error::Conflict(_))));
        assert_eq!(json("x", &0.1_f64), Ok(Value::Text(Some("0.1".to_owned()))));
        assert!(matches!(count("version", u64::MAX), Err(Error::Conflict(_))));
        assert_eq!(text("a\0b"), Value::Text(Some("a\u{2400}b".to_owned())));
    }
}
