//! The ledger: the largest epoch that this worker has obeyed, on its disk.
//!
//! It is written with fsync and an atomic rename before a command of a new epoch is obeyed, so that a
//! worker that restarts still refuses a master that was deposed before.
//! In: epochs of masters. Out: whether to obey.
//! Never: goes down. A cluster that was made anew needs a new data folder, and the error says so.
//! Tests: below, and with masters in `tests/`.

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use shanty_model::epoch::Epoch;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Whether a command of some epoch may be obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may; if the epoch is new, it is on disk now.
    Admitted,
    /// A newer master was obeyed already.
    Fenced {
        /// The largest epoch obeyed.
        seen: Epoch,
    },
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file in it cannot be made or written.
    #[error("cannot use the data folder {}: {source}; make it writable or name another one with --data", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another worker uses the folder.
    #[error("the data folder {} is in use by another worker; give each worker its own with --data", .0.display())]
    InUse(PathBuf),
    /// The file is not a ledger.
    #[error("the ledger {} is damaged: {message}; if no older master of this cluster can be alive, remove it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The ledger is of another cluster.
    #[error("the ledger {} belongs to the cluster `{found}`, not `{expected}`; name another folder with --data", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The cluster in it.
        found: String,
        /// This worker's cluster.
        expected: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Page {
    cluster: String,
    max_epoch: Epoch,
}

/// The largest epoch obeyed, and its file.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    cluster: String,
    seen: Epoch,
    /// Held for the lock on it.
    _lock: File,
}

impl Ledger {
    /// Opens the ledger of `cluster` in `dir`, which is made if it is absent, and locks it. Blocks.
    pub(crate) fn open(dir: &Path, cluster: &str) -> Result<Ledger, Error> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(io(dir))?;
        let lock_path = dir.join("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse(dir.to_owned())),
            Err(errno) => return Err(io(&lock_path)(errno.into())),
        }
        let path = dir.join("ledger.json");
        let seen = match fs::read_to_string(&path) {
            Ok(text) => {
                let page: Page = serde_json::from_str(&text)
                    .map_err(|error| Error::Damaged { path: path.clone(), message: error.to_string() })?;
                if page.cluster != cluster {
                    return Err(Error::OtherCluster {
                        path,
                        found: page.cluster,
                        expected: cluster.to_owned(),
                    });
                }
                page.max_epoch
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Epoch::NONE,
            Err(source) => return Err(Error::Io { path, source }),
        };
        Ok(Ledger { path, cluster: cluster.to_owned(), seen, _lock: lock })
    }

    /// The largest epoch obeyed.
    pub(crate) fn seen(&self) -> Epoch {
        self.seen
    }

    /// The file, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a command of `epoch` may be obeyed; a new one is on disk when this answers. Blocks then.
    pub(crate) fn admit(&mut self, epoch: Epoch) -> Result<Admission, Error> {
        if !self.seen.admits(epoch) {
            return Ok(Admission::Fenced { seen: self.seen });
        }
        if epoch > self.seen {
            self.write(epoch)?;
            self.seen = epoch;
        }
        Ok(Admission::Admitted)
    }

    fn write(&self, epoch: Epoch) -> Result<(), Error> {
        let page = Page { cluster: self.cluster.clone(), max_epoch: epoch };
        let replace = || -> io::Result<()> {
            let text = serde_json::to_string(&page)?;
            let fresh = self.path.with_extension("json.new");
            let mut file = File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            // The rename itself is durable only when the folder is.
            match self.path.parent() {
                Some(dir) => File::open(dir)?.sync_all(),
                None => Ok(()),
            }
        };
        replace().map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obeyed_epoch_is_remembered_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path(), "c").unwrap();
        assert_eq!(ledger.seen(), Epoch::NONE);
        assert_eq!(ledger.admit(Epoch(7)).unwrap(), Admission::Admitted);
        assert_eq!(ledger.admit(Epoch(7)).unwrap(), Admission::Admitted);
        drop(ledger);
        let mut ledger = Ledger::open(dir.path(), "c").unwrap();
        assert_eq!(ledger.admit(Epoch(6)).unwrap(), Admission::Fenced { seen: Epoch(7) });
        assert_eq!(ledger.admit(Epoch(8)).unwrap(), Admission::Admitted);
    }

    #[test]
    fn an_epoch_that_cannot_be_written_is_not_obeyed() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path(), "c").unwrap();
        fs::create_dir(dir.path().join("ledger.json")).unwrap();
        fs::write(dir.path().join("ledger.json/x"), "").unwrap();
        assert!(ledger.admit(Epoch(3)).is_err());
        assert_eq!(ledger.seen(), Epoch::NONE);
    }

    #[test]
    fn a_folder_serves_one_worker_of_one_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Ledger::open(dir.path(), "c").unwrap();
        assert!(matches!(Ledger::open(dir.path(), "c"), Err(Error::InUse(_))));
        first.admit(Epoch(1)).unwrap();
        drop(first);
        assert!(matches!(Ledger::open(dir.path(), "d"), Err(Error::OtherCluster { .. })));
        fs::write(dir.path().join("ledger.json"), "{").unwrap();
        assert!(matches!(Ledger::open(dir.path(), "c"), Err(Error::Damaged { .. })));
    }
}
