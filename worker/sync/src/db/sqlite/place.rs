//! Where a database's file is.
//!
//! In: `sqlite:///absolute/file.db`, `sqlite://relative.db`. Out: a path. Never: a look at the disk.
//! Tests: below.

use crate::db::{Class, DbError, Endpoint};
use std::path::PathBuf;

/// The path in an endpoint's URL, with `%XX` resolved; options behind a `?` are not looked at.
///
/// # Errors
/// Other, when there is no path.
pub(super) fn path(endpoint: &Endpoint) -> Result<PathBuf, DbError> {
    let plain = endpoint.url().split(['?', '#']).next().unwrap_or_default();
    let rest = plain.strip_prefix("sqlite:").unwrap_or(plain);
    let path = unescaped(rest.strip_prefix("//").unwrap_or(rest));
    if path.is_empty() || path == ":memory:" {
        return Err(DbError::new(
            Class::Other,
            "a database in memory ends with its connection: name a file, sqlite:///path/file.db",
        ));
    }
    Ok(PathBuf::from(path))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file() {
        for (url, expected) in [
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite://a.db", "a.db"),
            ("sqlite:a.db?mode=ro", "a.db"),
            ("sqlite:///with%20blank%2", "/with blank%2"),
        ] {
            assert_eq!(path(&Endpoint::parse(url).unwrap()).unwrap(), PathBuf::from(expected));
        }
        for url in ["sqlite://", "sqlite::memory:", "sqlite://:memory:"] {
            assert_eq!(path(&Endpoint::parse(url).unwrap()).unwrap_err().class, Class::Other);
        }
    }
}
