//! goshift's registry of databases as connections of workers.
//!
//! `from.mysql.local_dw_test` is the connection `local_dw_test`; where `from` and `to` have the same name and are not
//! the same, they are `local_dw_test_from` and `local_dw_test_to`.
//! In: a folder of configuration. Out: names; TOML with variables as `${NAME}`.
//! Never: a password that was not plain in the registry.
//! Tests: below.

use super::config::{Folder, Place, Side, Text, not_reachable};
use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};

/// A place in the registry: side, type and `<app>_<db>`.
type Key = (Side, String, String);
/// Entries of the registry that would have the same name, with their URLs.
type Alike<'a> = Vec<(&'a Key, &'a Place, String)>;

/// The connections of a registry; empty without one.
#[derive(Default)]
pub(super) struct Connections {
    known: bool,
    /// Side, type and `<app>_<db>` with the connection's name.
    names: BTreeMap<Key, String>,
    places: BTreeMap<String, (Place, String)>,
}

/// A connection for an end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Its name.
    pub(super) name: String,
    /// The database that it leads to, when the registry says it.
    pub(super) database: Option<String>,
}

/// A name that a connection or a job can have.
fn clean(text: &str) -> String {
    let small: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' })
        .collect();
    let named =
        if small.starts_with(|c: char| c.is_ascii_lowercase()) { small } else { format!("c-{small}") };
    named.chars().take(63).collect()
}

impl Connections {
    /// The connections of a folder's registry. Databases that Shanty does not reach are left out until a task asks
    /// for one.
    ///
    /// # Errors
    /// All that are wrong.
    pub(super) fn of(folder: &Folder) -> Result<Connections, Error> {
        let mut connections = Connections { known: true, ..Connections::default() };
        let mut wrong = Vec::new();
        let mut by_name: BTreeMap<String, Alike<'_>> = BTreeMap::new();
        for (key, place) in &folder.registry {
            let path = format!("{}.{}.{}", key.0.word(), key.1, key.2);
            match place.url() {
                Ok(url) => by_name.entry(clean(&key.2)).or_default().push((key, place, url)),
                Err(_) if not_known(&key.1) => {}
                Err(error) => wrong.push(format!("{path}: {error}")),
            }
        }
        for (name, entries) in by_name {
            let same =
                entries.iter().all(|(_, _, url)| entries.first().is_some_and(|(_, _, first)| first == url));
            for (key, place, url) in entries {
                let name = if same { name.clone() } else { clean(&format!("{name}_{}", key.0.word())) };
                if connections.places.get(&name).is_some_and(|(_, other)| *other != url) {
                    wrong.push(format!(
                        "{}.{}.{}: another database has the name `{name}` too",
                        key.0.word(),
                        key.1,
                        key.2
                    ));
                    continue;
                }
                connections.places.insert(name.clone(), (place.clone(), url));
                connections.names.insert(key.clone(), name);
            }
        }
        if wrong.is_empty() {
            return Ok(connections);
        }
        Err(Error::wrong(
            format!("not every database of db_global.json can be a connection:\n  {}", wrong.join("\n  ")),
            "correct db_global.json; no job was made",
        ))
    }

    /// Whether there are none to write.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The connection of an end of a task.
    ///
    /// # Errors
    /// When the type is none that is reached, or the registry lacks it: in words.
    pub(super) fn find(&self, side: Side, kind: &str, app: &str, db: &str) -> Result<Named, String> {
        if not_known(kind) {
            return Err(not_reachable(kind));
        }
        let name = format!("{app}_{db}");
        if !self.known {
            return Ok(Named { name: clean(&name), database: None });
        }
        let key = (side, kind.to_owned(), name.clone());
        let Some(found) = self.names.get(&key) else {
            return Err(format!("db_global.json has no {}.{kind}.{name}", side.word()));
        };
        let database = self.places.get(found).and_then(|(place, _)| place.plain("db")).map(str::to_owned);
        Ok(Named { name: found.clone(), database })
    }

    /// What a person should know of them.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, (place, _)) in &self.places {
            if place.plain("password").is_some_and(|password| !password.is_empty()) {
                warnings.push(format!(
                    "connection {name}: its password stands in db_global.json in plain text, and so it does in what is \
                     written here; better put it into a credential and write ${{NAME}}"
                ));
            }
            for (key, text) in place.unset() {
                let shown = if key == "password" { "its text" } else { text };
                warnings.push(format!(
                    "connection {name}: {key} looks like an environment variable, but none of that name is set here, \
                     so {shown} is taken as it is"
                ));
            }
            if let Some(charset) = place.plain("charset")
                && !charset.to_ascii_lowercase().starts_with("utf8")
            {
                warnings.push(format!(
                    "connection {name}: charset {charset} is not taken over; text travels as UTF-8"
                ));
            }
        }
        warnings
    }

    /// The configuration of workers that has the connections `used`.
    pub(super) fn toml(&self, used: &BTreeSet<&str>) -> String {
        let mut text =
            String::from("# Connections of goshift's db_global.json, for the configuration of workers.\n");
        for (name, (place, url)) in self.places.iter().filter(|(name, _)| used.contains(name.as_str())) {
            let variables: Vec<&str> = place
                .keys
                .values()
                .filter_map(|text| match text {
                    Text::Variable(name) => Some(name.as_str()),
                    Text::Plain(_) => None,
                })
                .collect();
            if !variables.is_empty() {
                text.push_str(&format!("# Workers need the variables {}.\n", variables.join(", ")));
            }
            let quoted = serde_json::Value::String(url.clone()).to_string();
            text.push_str(&format!("[worker.connections.{name}]\nurl = {quoted}\n"));
        }
        text
    }
}

fn not_known(kind: &str) -> bool {
    Place { kind: kind.to_owned(), keys: BTreeMap::new() }
        .url()
        .is_err_and(|error| error == not_reachable(kind))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::config::tests::folder;
    use super::*;
    use serde_json::json;

    fn connections() -> Connections {
        let mysql = |host: &str, password: &str, db: &str| json!({ "host": host, "user": "U_SET", "password": password, "db": db, "port": 3306, "charset": "utf8" });
        let global = json!({
            "from": {
                "mysql": { "local_dw_test": mysql("h1", "PW_SET", "test"), "shop_x": mysql("h1", "PW_SET", "x"), "Plain_db": mysql("h", "hunter2", "db") },
                "trino": { "local_dw_ods": { "host": "t", "port": 8080, "catalog": "hive" } }
            },
            "to": { "mysql": { "local_dw_test": mysql("h1", "PW_SET", "test"), "shop_x": mysql("h2", "PW_SET", "x") } }
        });
        Connections::of(&folder(json!({}), global)).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn the_same_database_on_both_sides_is_one_connection_and_others_are_two() {
        let all = connections();
        let name = |side, app: &str, db: &str| all.find(side, "mysql", app, db).map(|named| named.name);
        assert_eq!(name(Side::From, "local_dw", "test"), Ok("local_dw_test".to_owned()));
        assert_eq!(name(Side::To, "local_dw", "test"), Ok("local_dw_test".to_owned()));
        assert_eq!(name(Side::From, "shop", "x"), Ok("shop_x_from".to_owned()));
        assert_eq!(name(Side::To, "shop", "x"), Ok("shop_x_to".to_owned()));
        assert_eq!(name(Side::From, "Plain", "db"), Ok("plain_db".to_owned()));
        assert!(name(Side::To, "nobody", "x").unwrap_err().contains("to.mysql.nobody_x"));
        assert!(all.find(Side::From, "trino", "local_dw", "ods").unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn variables_stay_variables_and_plain_passwords_are_warned_of() {
        let all = connections();
        let toml = all.toml(&BTreeSet::from(["local_dw_test", "shop_x_to"]));
        assert_eq!(
            toml,
            "# Connections of goshift's db_global.json, for the configuration of workers.\n\
             # Workers need the variables PW_SET, U_SET.\n\
             [worker.connections.local_dw_test]\nurl = \"mysql://${U_SET}:${PW_SET}@h1:3306/test\"\n\
             # Workers need the variables PW_SET, U_SET.\n\
             [worker.connections.shop_x_to]\nurl = \"mysql://${U_SET}:${PW_SET}@h2:3306/x\"\n"
        );
        let warnings = all.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("plain_db") && !warnings[0].contains("hunter2"));
    }

    #[test]
    fn without_a_registry_names_follow_from_the_row() {
        let named = Connections::default().find(Side::From, "mysql", "Local DW", "Blog").unwrap();
        assert_eq!(named, Named { name: "local-dw_blog".to_owned(), database: None });
        assert_eq!(clean("9x"), "c-9x");
    }
}
