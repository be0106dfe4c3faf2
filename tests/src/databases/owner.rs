//! The user as whom a server runs.
//!
//! In: a name. Out: commands and folders of that user. Never: another user than the tests' own when they are not root.
//! Tests: `tests/tests/store.rs`.

use super::text;
use crate::skip;
use std::path::Path;

/// The user as whom a server runs: itself when the tests run as root (PostgreSQL refuses root), else
/// whoever runs the tests.
pub(super) struct Owner {
    user: Option<(String, u32, u32)>,
    /// Whether the server runs as root.
    pub(super) is_root: bool,
}

impl Owner {
    pub(super) fn of(user: &str) -> Owner {
        if !rustix::process::getuid().is_root() {
            return Owner { user: None, is_root: false };
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| *name == user)?;
            let mut numbers = fields.skip(1).map_while(|id| id.parse().ok());
            Some((name.to_owned(), numbers.next()?, numbers.next()?))
        });
        Owner { is_root: user.is_none(), user }
    }

    pub(super) fn folder(&self, prefix: &str) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir();
        let folder = folder.unwrap_or_else(|error| unreachable!("no folder for a database: {error}"));
        self.give(folder.path());
        folder
    }

    pub(super) fn give(&self, path: &Path) {
        if let Some((_, uid, gid)) = &self.user {
            let given = std::os::unix::fs::chown(path, Some(*uid), Some(*gid));
            given.unwrap_or_else(|error| unreachable!("{} cannot be given away: {error}", path.display()));
        }
    }

    /// The command as this user; setpriv replaces itself by the program.
    pub(super) fn command(&self, command: &[&str]) -> Vec<String> {
        let mut whole: Vec<String> = Vec::new();
        if let Some((name, _, _)) = &self.user {
            whole.push(text(&skip::program("setpriv", "util-linux").unwrap_or_default()));
            whole.extend(["--reuid", name, "--regid", name, "--clear-groups"].map(str::to_owned));
            // The change of user has forgotten it.
            whole.extend(["--pdeathsig", "KILL", "--"].map(str::to_owned));
        }
        whole.extend(command.iter().map(|part| (*part).to_owned()));
        whole
    }
}
