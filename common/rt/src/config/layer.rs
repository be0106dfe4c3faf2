//! One layer of a configuration: keys with their values, and where each was written.
//!
//! In: TOML text, environment variables, flags. Out: [`Entry`]s in the order in which they are laid on.
//! Never: knows which keys exist; `loader` compares them with the type.
//! Tests: below and in `loader`.

use super::Error;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: built in.
    Default,
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// On the command line, by this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A key and what was written for it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key below the section: `["load", "threads"]`.
    pub(super) path: Vec<String>,
    /// What was written.
    pub(super) written: Written,
    /// Where.
    pub(super) origin: Origin,
}

/// A value as it was written.
#[derive(Debug, Clone)]
pub(super) enum Written {
    /// With its type (TOML).
    Typed(Value),
    /// As text that takes the type of its key (environment, `--set`).
    Text(String),
}

impl Written {
    /// What it may mean, likeliest first, for a key whose default is `default`.
    pub(super) fn readings(&self, default: Option<&Value>) -> Vec<Value> {
        let text = match self {
            Written::Typed(value) => return vec![value.clone()],
            Written::Text(text) => text,
        };
        let string = Value::String(text.clone());
        let literal = DeValue::parse(text.trim()).ok().map(|value| to_json(value.get_ref()));
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        match default {
            Some(Value::Array(_)) => {
                let list = Value::Array(items.map(|item| Value::String(item.to_owned())).collect());
                literal.into_iter().filter(Value::is_array).chain([list]).collect()
            }
            Some(Value::Object(_)) => {
                let pairs = items.map(|item| {
                    let (key, value) = item.split_once('=')?;
                    Some((key.trim().to_owned(), Value::String(value.trim().to_owned())))
                });
                let map = pairs.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object);
                literal.into_iter().filter(Value::is_object).chain(map).chain([string]).collect()
            }
            Some(Value::Bool(_) | Value::Number(_)) => literal.into_iter().chain([string]).collect(),
            Some(Value::String(_) | Value::Null) | None => [string].into_iter().chain(literal).collect(),
        }
    }
}

/// The entries of the table `section` in a file; other tables of `known` are other processes'.
pub(super) fn from_toml(path: &Path, text: &str, section: &str, known: &[&str]) -> Result<Vec<Entry>, Error> {
    let line_of = |offset: usize| text.get(..offset).unwrap_or(text).matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| Error::Syntax {
        path: path.to_owned(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let name: &str = key.get_ref();
        let origin = || Origin::File { path: path.to_owned(), line: line_of(key.span().start) };
        let inner = value.get_ref().as_table();
        match inner {
            Some(inner) if name == section => collect(inner, &mut Vec::new(), &mut entries, &|offset| {
                Origin::File { path: path.to_owned(), line: line_of(offset) }
            }),
            Some(_) if known.contains(&name) => {}
            Some(_) | None => {
                return Err(Error::UnknownKey {
                    origin: origin(),
                    key: name.to_owned(),
                    hint: format!(
                        "everything stands below one of the tables {}",
                        known.iter().map(|k| format!("[{k}]")).collect::<Vec<_>>().join(", ")
                    ),
                });
            }
        }
    }
    Ok(entries)
}

fn collect(
    table: &DeTable<'_>,
    path: &mut Vec<String>,
    entries: &mut Vec<Entry>,
    origin_at: &dyn Fn(usize) -> Origin,
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        match value.get_ref().as_table() {
            Some(inner) if !inner.is_empty() => collect(inner, path, entries, origin_at),
            Some(_) | None => entries.push(Entry {
                path: path.clone(),
                written: Written::Typed(to_json(value.get_ref())),
                origin: origin_at(key.span().start),
            }),
        }
        path.pop();
    }
}

/// The entries among `variables` whose names begin with `SHANTY_{SECTION}__`.
pub(super) fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
    section: &str,
) -> Vec<Entry> {
    let prefix = format!("SHANTY_{}__", section.to_uppercase());
    let mut entries: Vec<Entry> = variables
        .into_iter()
        .filter_map(|(name, text)| {
            let path = name.strip_prefix(&prefix)?.split("__").map(str::to_lowercase).collect();
            Some(Entry { path, written: Written::Text(text), origin: Origin::Environment(name) })
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str();
            i64::from_str_radix(digits, number.radix())
                .map(Value::from)
                .or_else(|_| u64::from_str_radix(digits, number.radix()).map(Value::from))
                .unwrap_or_else(|_| Value::String(digits.to_owned()))
        }
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| Value::String(number.as_str().to_owned()), Value::Number),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| to_json(item.get_ref())).collect()),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect(),
        ),
    }
}
