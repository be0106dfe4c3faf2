//! What was loaded, and from where.
//!
//! In: the value and the origin of each key. Out: text for `config show`.
//! Never: prints a secret; keys that name one and passwords in URLs are shown as `***`.
//! Tests: below and in `loader`.

use super::layer::Origin;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A configuration with the origin of each value.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    /// Origin of each key that was not left at its default, by key with its tables, `worker.load.threads`.
    pub origins: BTreeMap<String, Origin>,
    pub(super) section: &'static str,
    pub(super) tree: Value,
}

impl<T> Loaded<T> {
    /// Where the value of `key` (with its tables, `worker.slots`) came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// One line per key, `worker.slots = 16  # default`, secrets hidden.
    #[must_use]
    pub fn show(&self) -> String {
        let mut lines = Vec::new();
        leaves(self.section, &self.tree, &mut lines);
        let width = lines.iter().map(|(key, value)| key.len() + value.len() + 3).max().unwrap_or(0).min(60);
        let mut text = String::new();
        for (key, value) in &lines {
            let _infallible = writeln!(text, "{:width$}  # {}", format!("{key} = {value}"), self.origin(key));
        }
        text
    }
}

fn leaves(path: &str, tree: &Value, lines: &mut Vec<(String, String)>) {
    match tree {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                leaves(&format!("{path}.{key}"), value, lines);
            }
        }
        Value::Object(_) => lines.push((path.to_owned(), "{}".to_owned())),
        Value::Null => lines.push((path.to_owned(), "(none)".to_owned())),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            lines.push((path.to_owned(), shown(path, tree)));
        }
    }
}

/// A value as it may be shown.
pub(super) fn shown(path: &str, value: &Value) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    let secret = ["password", "secret", "token", "private_key"].iter().any(|word| name.contains(word));
    match value {
        Value::String(text) if secret && !text.is_empty() => "\"***\"".to_owned(),
        Value::String(text) => Value::String(without_password(text)).to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| shown(path, item)).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// `mysql://user:***@host/db` for a URL with a password; placeholders are no secrets.
fn without_password(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user_info, host) = authority.rsplit_once('@')?;
        let (user, password) = user_info.split_once(':')?;
        (!password.starts_with("${")).then(|| format!("{scheme}://{user}:***@{host}{path}"))
    };
    hidden().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let show = |path: &str, text: &str| shown(path, &Value::String(text.to_owned()));
        assert_eq!(show("master.store", "mysql://u:hunter2@h:1/db"), "\"mysql://u:***@h:1/db\"");
        assert_eq!(show("master.store", "mysql://u:${PW}@h/db"), "\"mysql://u:${PW}@h/db\"");
        assert_eq!(show("master.store", "sqlite:///var/x"), "\"sqlite:///var/x\"");
        assert_eq!(show("master.etcd.password", "hunter2"), "\"***\"");
        assert_eq!(show("master.etcd.password", ""), "\"\"");
    }
}
