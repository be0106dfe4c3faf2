//! The layers and their order.
//!
//! Each entry is laid on the tree of defaults by itself and the whole is read again, so that a value its
//! key cannot take is told with its own file and line.
//! In: a section name, a file, the environment, flags. Out: [`Loaded`].
//! Tests: below.

use super::Error;
use super::layer::{self, Entry, Origin, Written};
use super::loaded::{Loaded, shown};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shanty_model::id::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The tables that a file may have: one per sort of process, so that one file can serve a whole machine.
pub const SECTIONS: [&str; 3] = ["master", "worker", "sentinel"];

/// Collects the layers of one process's configuration.
#[derive(Debug)]
pub struct Loader {
    section: &'static str,
    file: Option<PathBuf>,
    environment: Vec<Entry>,
    flags: Vec<Entry>,
}

impl Loader {
    /// A loader for the table `[section]` and the variables `SHANTY_{SECTION}__…`; defaults only, so far.
    #[must_use]
    pub fn new(section: &'static str) -> Loader {
        Loader { section, file: None, environment: Vec::new(), flags: Vec::new() }
    }

    /// Adds a file, which must exist; `None` adds nothing.
    #[must_use]
    pub fn file(mut self, path: Option<&Path>) -> Loader {
        self.file = path.map(Path::to_owned);
        self
    }

    /// Adds this process's environment.
    #[must_use]
    pub fn process_environment(self) -> Loader {
        let variables = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        self.environment(variables)
    }

    /// Adds these variables.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Loader {
        self.environment = layer::from_environment(variables, self.section);
        self
    }

    /// Adds the value of a flag for `key` (below the section, `load.threads`) if it was given.
    #[must_use]
    pub fn flag(mut self, key: &str, flag: &str, value: Option<impl Into<Value>>) -> Loader {
        if let Some(value) = value {
            self.flags.push(Entry {
                path: key.split('.').map(str::to_owned).collect(),
                written: Written::Typed(value.into()),
                origin: Origin::Flag(flag.to_owned()),
            });
        }
        self
    }

    /// Adds a `--set key=value`; the value takes the type of its key.
    ///
    /// # Errors
    /// [`Error::BadValue`] when there is no `=`.
    pub fn set(mut self, text: &str) -> Result<Loader, Error> {
        let origin = Origin::Flag("--set".to_owned());
        let (key, value) = text.split_once('=').ok_or_else(|| Error::BadValue {
            origin: origin.clone(),
            key: text.to_owned(),
            value: "empty".to_owned(),
            message: "write --set key=value".to_owned(),
        })?;
        let key = key.trim();
        let below = key.strip_prefix(self.section).and_then(|k| k.strip_prefix('.')).unwrap_or(key);
        self.flags.push(Entry {
            path: below.split('.').map(str::to_owned).collect(),
            written: Written::Text(value.to_owned()),
            origin,
        });
        Ok(self)
    }

    /// Lays the layers on each other.
    ///
    /// # Errors
    /// [`Error`]: the first thing that is wrong.
    pub fn load<T: Serialize + DeserializeOwned + Default>(self) -> Result<Loaded<T>, Error> {
        let section = self.section;
        let bug = |error: serde_json::Error| Error::Defaults { section, message: error.to_string() };
        let defaults = serde_json::to_value(T::default()).map_err(bug)?;
        let mut value: T = serde_json::from_value(defaults.clone()).map_err(bug)?;
        let mut tree = defaults.clone();
        let mut origins = BTreeMap::new();

        let file = match &self.file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| Error::Read { path: path.clone(), source })?;
                layer::from_toml(path, &text, section, &SECTIONS)?
            }
            None => Vec::new(),
        };
        for layer in [file, self.environment, self.flags] {
            for entry in together(layer, &defaults) {
                check_key(&entry, &defaults, section)?;
                let key = format!("{section}.{}", entry.path.join("."));
                (value, tree) = lay(&entry, &defaults, &tree, &key)?;
                origins.retain(|known: &String, _| !known.starts_with(&format!("{key}.")));
                origins.insert(key, entry.origin);
            }
        }
        // What is printed is what the type made of it: with `5000ms` shown as `5s`.
        let tree = serde_json::to_value(&value).unwrap_or(tree);
        Ok(Loaded { value, origins, section, tree })
    }
}

/// Joins the keys of a table whose default is "none" into one entry: its fields only make sense together.
fn together(layer: Vec<Entry>, defaults: &Value) -> Vec<Entry> {
    let mut joined: Vec<Entry> = Vec::new();
    for entry in layer {
        let depth = depth_of_null(&entry.path, defaults);
        let Some(depth) = depth.filter(|depth| *depth < entry.path.len()) else {
            joined.push(entry);
            continue;
        };
        let (head, tail) = entry.path.split_at(depth);
        let inner = match &entry.written {
            Written::Typed(value) => value.clone(),
            Written::Text(text) => Written::Text(text.clone())
                .readings(Some(&Value::Bool(false)))
                .into_iter()
                .next()
                .unwrap_or(Value::Null),
        };
        let place = joined.iter_mut().find(|known| known.path == head);
        if let Some(Entry { written: Written::Typed(table), .. }) = place {
            put(table, tail, inner);
        } else {
            let mut table = Value::Object(serde_json::Map::new());
            put(&mut table, tail, inner);
            joined.push(Entry {
                path: head.to_vec(),
                written: Written::Typed(table),
                origin: entry.origin.clone(),
            });
        }
    }
    joined
}

/// How many names of `path` lead to a default that is null.
fn depth_of_null(path: &[String], defaults: &Value) -> Option<usize> {
    let mut at = defaults;
    for (depth, name) in path.iter().enumerate() {
        at = at.get(name)?;
        if at.is_null() {
            return Some(depth + 1);
        }
    }
    None
}

/// Walks down the defaults: every name must be known, unless an empty map or a null is met.
fn check_key(entry: &Entry, defaults: &Value, section: &str) -> Result<(), Error> {
    let mut at = defaults;
    for (depth, name) in entry.path.iter().enumerate() {
        let fields = match at {
            Value::Object(map) if map.is_empty() => return Ok(()),
            Value::Object(map) => map,
            Value::Null => return Ok(()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                let key = format!("{section}.{}", entry.path[..depth].join("."));
                return Err(unknown(entry, section, format!("`{key}` is a single value, not a table")));
            }
        };
        let Some(inner) = fields.get(name) else {
            let near = nearest(name, fields.keys().map(String::as_str));
            let hint = if near.is_empty() {
                let all: BTreeSet<_> = fields.keys().map(|k| format!("`{k}`")).collect();
                format!("known here: {}", all.into_iter().collect::<Vec<_>>().join(", "))
            } else {
                format!(
                    "did you mean {}?",
                    near.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" or ")
                )
            };
            return Err(unknown(entry, section, hint));
        };
        at = inner;
    }
    Ok(())
}

fn unknown(entry: &Entry, section: &str, hint: String) -> Error {
    Error::UnknownKey {
        origin: entry.origin.clone(),
        key: format!("{section}.{}", entry.path.join(".")),
        hint,
    }
}

/// The value and tree with `entry` laid on.
fn lay<T: DeserializeOwned>(
    entry: &Entry,
    defaults: &Value,
    tree: &Value,
    key: &str,
) -> Result<(T, Value), Error> {
    let default = entry.path.iter().try_fold(defaults, |at, name| at.get(name));
    let mut first_error = None;
    for reading in entry.written.readings(default) {
        let mut next = tree.clone();
        put(&mut next, &entry.path, reading);
        match serde_json::from_value::<T>(next.clone()) {
            Ok(value) => return Ok((value, next)),
            Err(error) => first_error = first_error.or(Some(error.to_string())),
        }
    }
    let value = match &entry.written {
        Written::Typed(value) => shown(key, value),
        Written::Text(text) => shown(key, &Value::String(text.clone())),
    };
    let message = first_error.unwrap_or_else(|| "it has the wrong type".to_owned());
    Err(Error::BadValue { origin: entry.origin.clone(), key: key.to_owned(), value, message })
}

/// Sets `path` in `tree` to `value`; tables on the way are made.
fn put(tree: &mut Value, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(map) = tree {
        put(map.entry(name.clone()).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
#[path = "loader_test.rs"]
mod tests;
