//! A connection as it stands in a configuration.
//!
//! In: `url = "…"` of a table, or the URL alone. Out: [`Settings`], which shows placeholders as they were written
//! and a literal password as `***`.
//! Never: an error that holds the text, which may hold a secret.
//! Tests: below.

use super::template::Template;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A connection as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the database is, with placeholders; may hold a literal password.
    url: String,
}

impl Settings {
    /// A connection by its URL, placeholders included.
    pub fn new(url: impl Into<String>) -> Settings {
        Settings { url: url.into() }
    }

    /// The URL taken apart.
    ///
    /// # Errors
    /// In words, without the URL.
    pub(super) fn template(&self) -> Result<Template, String> {
        Template::parse(&self.url)
    }

    /// Checks what can be told without filling placeholders in.
    ///
    /// # Errors
    /// What is wrong and what helps, without the URL.
    pub fn check(&self) -> Result<(), String> {
        self.template().map(|_| ())
    }

    /// The URL as it may be shown: placeholders as they were written, a literal password as `***`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.template() {
            Ok(template) => template.shown(),
            Err(_) => "***".to_owned(),
        }
    }

    /// Whether the URL holds a password that is no placeholder.
    #[must_use]
    pub fn holds_a_secret(&self) -> bool {
        self.template().is_ok_and(|template| template.shown() != self.url)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("url", &self.shown()).finish()
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut table = serializer.serialize_struct("Settings", 1)?;
        table.serialize_field("url", &self.shown())?;
        table.end()
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
        deserializer.deserialize_any(SettingsVisitor)
    }
}

/// Reads by hand, because serde's own messages quote the value.
struct SettingsVisitor;

impl<'de> Visitor<'de> for SettingsVisitor {
    type Value = Settings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with `url`, for example url = \"mysql://etl:${SHOP_PW}@db:3306/shop\"")
    }

    fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Settings, E> {
        Ok(Settings::new(url))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
        let mut url = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "url" {
                return Err(A::Error::custom(format!("unknown key `{key}`; a connection has `url` alone")));
            }
            let value = map.next_value::<serde_json::Value>()?;
            url = Some(value.as_str().ok_or_else(|| A::Error::custom("`url` must be text"))?.to_owned());
        }
        let url = url.ok_or_else(|| A::Error::custom("`url` is mandatory"))?;
        Ok(Settings { url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Settings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_and_a_url_alone_are_read() {
        let table = read(r#"{"url":"mysql://u:${PW}@h/db"}"#).unwrap();
        assert_eq!(table, read(r#""mysql://u:${PW}@h/db""#).unwrap());
        assert_eq!(table, Settings::new("mysql://u:${PW}@h/db"));
    }

    #[test]
    fn what_is_refused_is_named_without_a_value() {
        for (json, part) in [
            (r#"{"ulr":"mysql://u:hunter2@h/db"}"#, "unknown key `ulr`"),
            (r#"{"url":{"a":"hunter2"}}"#, "`url` must be text"),
            ("{}", "`url` is mandatory"),
            (r#"["hunter2"]"#, "a table with `url`"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn neither_debug_nor_serialize_shows_a_password() {
        for url in ["mysql://u:hunter2@h/db", "mysql://u:hun/ter2@h/db", "postgres://h/db?password=hunter2"] {
            let settings = Settings::new(url);
            let text = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
            assert!(!text.contains("ter2") && text.contains("***"), "{text}");
        }
        let settings = Settings::new("mysql://u:${PW}@h/db");
        assert_eq!(serde_json::to_string(&settings).unwrap(), r#"{"url":"mysql://u:${PW}@h/db"}"#);
        assert!(!settings.holds_a_secret() && Settings::new("mysql://u:x@h/db").holds_a_secret());
    }
}
