//! goshift's configuration: `<env>.json` and `db_global.json` of a folder.
//!
//! goshift replaces every string that is the name of an environment variable. Here only a string that looks like
//! one (capitals, digits, _, two or more) and is set counts: a user called HOME stays a user.
//! In: a folder. Out: databases as [`Place`]s, each value with where it came from.
//! Never: prints a value that came from the environment.
//! Tests: below.

use crate::error::Error;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// A string of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// As it stands.
    Plain(String),
    /// The name of an environment variable that is set.
    Variable(String),
}

/// A database of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `mysql`, `trino`, ….
    pub(super) kind: String,
    /// Its keys: host, user, password, db, port, charset, ….
    pub(super) keys: BTreeMap<String, Text>,
}

/// Which end of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// `from`.
    From,
    /// `to`.
    To,
}

impl Side {
    /// The word of the configuration.
    pub(super) fn word(self) -> &'static str {
        match self {
            Side::From => "from",
            Side::To => "to",
        }
    }
}

/// A folder of configuration.
pub(super) struct Folder {
    /// The task database.
    pub(super) task_meta: Option<Place>,
    /// The registry: side, type, `<app>_<db>`.
    pub(super) registry: BTreeMap<(Side, String, String), Place>,
}

/// Whether a string names a variable, as a person would write it.
fn looks_like_a_variable(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_uppercase() || c == '_')
        && text.len() > 1
        && letters.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

impl Folder {
    /// Reads `<env>.json` and `db_global.json`.
    ///
    /// # Errors
    /// When one is missing or is not what it must be, with its place.
    pub(super) fn read(dir: &Path, env: &str, use_environment: bool) -> Result<Folder, Error> {
        let set =
            |name: &str| use_environment && std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let own = read_object(&dir.join(format!("{env}.json")))?;
        let global = read_object(&dir.join("db_global.json"))?;
        Folder::from_json(&own, &global, &set)
    }

    fn from_json(
        own: &Map<String, Value>,
        global: &Map<String, Value>,
        set: &dyn Fn(&str) -> bool,
    ) -> Result<Folder, Error> {
        let task_meta = match own.get("task_meta").and_then(Value::as_object) {
            Some(keys) => {
                let kind = keys.get("type").and_then(Value::as_str).unwrap_or("mysql").to_owned();
                Some(place(kind, keys, set))
            }
            None => None,
        };
        let mut registry = BTreeMap::new();
        for side in [Side::From, Side::To] {
            for (kind, databases) in objects(global.get(side.word())) {
                for (name, keys) in objects(Some(databases)) {
                    let keys = keys.as_object().ok_or_else(|| {
                        Error::wrong(
                            format!("db_global.json: {}.{kind}.{name} is not an object", side.word()),
                            "give it host, user, password, db and port",
                        )
                    })?;
                    registry.insert((side, kind.clone(), name.clone()), place(kind.clone(), keys, set));
                }
            }
        }
        Ok(Folder { task_meta, registry })
    }
}

fn objects(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn place(kind: String, keys: &Map<String, Value>, set: &dyn Fn(&str) -> bool) -> Place {
    let keys = keys.iter().filter(|(key, _)| *key != "type").filter_map(|(key, value)| {
        let text = match value {
            Value::String(text) if looks_like_a_variable(text) && set(text) => Text::Variable(text.clone()),
            Value::String(text) => Text::Plain(text.clone()),
            Value::Number(number) => Text::Plain(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((key.clone(), text))
    });
    Place { kind, keys: keys.collect() }
}

fn read_object(path: &Path) -> Result<Map<String, Value>, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::wrong(
            format!("cannot read {}: {error}", path.display()),
            "name goshift's folder with --config-dir and its environment with --env",
        )
    })?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::wrong(format!("{} is not a JSON object", path.display()), "see goshift's etc/")),
        Err(error) => Err(Error::wrong(format!("{}: {error}", path.display()), "correct the JSON")),
    }
}

impl Place {
    /// Its URL with variables as `${NAME}`.
    ///
    /// # Errors
    /// Why it cannot be one, in words.
    pub(super) fn url(&self) -> Result<String, String> {
        let scheme = match self.kind.as_str() {
            "mysql" | "mariadb" | "tidb" => "mysql",
            "postgres" | "postgresql" | "pg" => "postgres",
            "sqlite" => "sqlite",
            other => return Err(not_reachable(other)),
        };
        let text = |key: &str| match self.keys.get(key) {
            Some(Text::Plain(text)) => encoded(text),
            Some(Text::Variable(name)) => format!("${{{name}}}"),
            None => String::new(),
        };
        if scheme == "sqlite" {
            let Some(Text::Plain(path)) = self.keys.get("db") else {
                return Err("`db` must be the path of the file".to_owned());
            };
            return Ok(format!("sqlite://{path}"));
        }
        for key in ["host", "user", "db"] {
            if !self.keys.contains_key(key) {
                return Err(format!("`{key}` is missing"));
            }
        }
        let host = match self.keys.get("host") {
            // Host names need no encoding, and an address in brackets must keep them.
            Some(Text::Plain(host)) => host.clone(),
            Some(Text::Variable(_)) | None => text("host"),
        };
        let password =
            if self.keys.contains_key("password") { format!(":{}", text("password")) } else { String::new() };
        let port = if self.keys.contains_key("port") { format!(":{}", text("port")) } else { String::new() };
        Ok(format!("{scheme}://{}{password}@{host}{port}/{}", text("user"), text("db")))
    }

    /// A key's plain text; none for a variable.
    pub(super) fn plain(&self, key: &str) -> Option<&str> {
        match self.keys.get(key) {
            Some(Text::Plain(text)) => Some(text),
            Some(Text::Variable(_)) | None => None,
        }
    }

    /// Keys whose text looks like a variable that is not set here.
    pub(super) fn unset(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().filter_map(|(key, text)| match text {
            Text::Plain(text) if looks_like_a_variable(text) && text.contains('_') => {
                Some((key.as_str(), text.as_str()))
            }
            Text::Plain(_) | Text::Variable(_) => None,
        })
    }
}

/// Why a type of goshift's is refused.
pub(super) fn not_reachable(kind: &str) -> String {
    match kind {
        "trino" | "hive" | "presto" => format!(
            "`{kind}` cannot be read: Shanty reads MySQL, MariaDB, PostgreSQL and SQLite; copy from the database behind it"
        ),
        other => format!("`{other}` is no database that Shanty knows: it knows mysql, postgres and sqlite"),
    }
}

/// Everything but unreserved characters as %XX.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A folder with these files, in which variables that end in _SET are set.
    pub(in super::super) fn folder(own: Value, global: Value) -> Folder {
        let object = |value: Value| value.as_object().unwrap().clone();
        Folder::from_json(&object(own), &object(global), &|name: &str| name.ends_with("_SET"))
            .unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn only_what_looks_like_a_variable_and_is_set_is_one() {
        let folder = folder(
            json!({ "task_meta": { "type": "mysql", "host": "DB_HOST_SET", "user": "HOME", "password": "p@ss/w",
                "db": "z_etl", "port": 3306, "charset": "utf8" } }),
            json!({}),
        );
        let meta = folder.task_meta.unwrap();
        assert_eq!(meta.url().unwrap(), "mysql://HOME:p%40ss%2Fw@${DB_HOST_SET}:3306/z_etl");
        assert_eq!(meta.plain("user"), Some("HOME"));
        for (text, is) in [
            ("A_B", true),
            ("_X1", true),
            ("HOME", true),
            ("Home", false),
            ("1A", false),
            ("A", false),
            ("A-B", false),
        ] {
            assert_eq!(looks_like_a_variable(text), is, "{text}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_stays_text_and_is_told() {
        let folder = folder(json!({ "task_meta": { "host": "DB_HOST", "user": "u", "db": "d" } }), json!({}));
        let meta = folder.task_meta.unwrap();
        assert_eq!(meta.url().unwrap(), "mysql://u@DB_HOST/d");
        assert_eq!(meta.unset().collect::<Vec<_>>(), [("host", "DB_HOST")]);
    }

    #[test]
    fn what_cannot_be_a_url_says_why() {
        let place = |kind: &str, keys: Value| {
            super::place(kind.to_owned(), keys.as_object().unwrap(), &|_| false).url().unwrap_err()
        };
        assert!(place("trino", json!({})).contains("cannot be read"));
        assert!(place("oracle", json!({})).contains("oracle"));
        assert!(place("mysql", json!({ "host": "h", "user": "u" })).contains("`db`"));
    }
}
