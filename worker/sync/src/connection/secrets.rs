//! Where what stands behind a placeholder comes from.
//!
//! `${NAME}`: the environment variable, else the file of that name in the folder that systemd's LoadCredential
//! fills (`$CREDENTIALS_DIRECTORY`). `${file:/path}`: that file. One line break at a file's end is left out.
//! In: names. Out: values. Never: keeps a value.
//! Tests: below.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Longest value of a file, bytes.
const LONGEST: u64 = 64 * 1024;

/// Answers placeholders.
pub trait Secrets: Send + Sync {
    /// The value of `${name}`; none when there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read: why, without the value.
    fn named(&self, name: &str) -> Result<Option<String>, String>;

    /// The value of `${file:path}`.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// The environment and the credentials of this process, read when they are asked for.
#[derive(Clone, Default)]
pub struct ProcessSecrets {
    credentials: Option<PathBuf>,
}

impl fmt::Debug for ProcessSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSecrets").field("credentials", &self.credentials).finish()
    }
}

impl ProcessSecrets {
    /// With the folder that `$CREDENTIALS_DIRECTORY` names, if it does.
    #[must_use]
    pub fn of_this_process() -> ProcessSecrets {
        ProcessSecrets { credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    /// With another folder of credentials.
    #[must_use]
    pub fn with_credentials(folder: impl Into<PathBuf>) -> ProcessSecrets {
        ProcessSecrets { credentials: Some(folder.into()) }
    }
}

impl Secrets for ProcessSecrets {
    fn named(&self, name: &str) -> Result<Option<String>, String> {
        match std::env::var(name) {
            Ok(value) => return Ok(Some(value)),
            Err(std::env::VarError::NotUnicode(_)) => return Err("it is not UTF-8".to_owned()),
            Err(std::env::VarError::NotPresent) => {}
        }
        let Some(path) = self.credentials.as_ref().map(|folder| folder.join(name)) else { return Ok(None) };
        if path.exists() { self.file(&path).map(Some) } else { Ok(None) }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let read = file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if u64::try_from(read).unwrap_or(u64::MAX) > LONGEST {
            return Err("it is longer than 64 KiB".to_owned());
        }
        let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        Ok(line.unwrap_or(&text).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_stands_in_for_a_variable_and_loses_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shop-pw"), "s3cret\r\n").unwrap();
        std::fs::write(folder.path().join("PATH"), "not this").unwrap();
        let secrets = ProcessSecrets::with_credentials(folder.path());
        assert_eq!(secrets.named("shop-pw"), Ok(Some("s3cret".to_owned())));
        assert_eq!(secrets.named("shanty-nope"), Ok(None));
        assert_ne!(secrets.named("PATH"), Ok(Some("not this".to_owned())), "the environment comes first");
        assert_eq!(ProcessSecrets::default().named("shop-pw"), Ok(None));
    }

    #[test]
    fn a_file_that_cannot_be_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long");
        std::fs::write(&long, vec![b'x'; 70_000]).unwrap();
        let secrets = ProcessSecrets::default();
        assert!(secrets.file(&long).unwrap_err().contains("64 KiB"));
        assert!(secrets.file(&folder.path().join("none")).is_err());
        std::fs::write(&long, "a\nb\n").unwrap();
        assert_eq!(secrets.file(&long).unwrap(), "a\nb");
    }
}
