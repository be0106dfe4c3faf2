//! A folder of a running process whose disk is full, takes no writes, or hangs.
//!
//! In: the folder, what is wrong. Out: [`Sick`], until it is dropped. A frozen file system holds its writers so fast that
//! even SIGKILL waits, so it is always thawed first. Never: touches what was in the folder: another file system lies over it.
//! Tests: below.

use super::fault::Disk;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A sick disk over a folder.
#[derive(Debug)]
pub(super) struct Sick {
    folder: PathBuf,
    frozen: bool,
    image: Option<PathBuf>,
}

impl Sick {
    /// Lays it over the folder.
    ///
    /// # Errors
    /// When the system refuses, as it does to all but root.
    pub(super) fn over(folder: &Path, what: Disk) -> Result<Sick, String> {
        let at = folder.display().to_string();
        match what {
            Disk::ReadOnly => run("mount", &["-t", "tmpfs", "-o", "ro,size=64k", "none", &at])?,
            Disk::Full => run("mount", &["-t", "tmpfs", "-o", "size=16k", "none", &at])?,
            Disk::Hung => {}
        }
        let mut sick = Sick { folder: folder.to_path_buf(), frozen: false, image: None };
        match what {
            Disk::ReadOnly => {}
            Disk::Full => {
                // Each page of it: a write of any length fails from here on.
                let fill = std::fs::write(folder.join("fill"), vec![1; 64 << 10]);
                if fill.is_ok() {
                    return Err(format!("{at} took more than it holds"));
                }
            }
            Disk::Hung => {
                let image = folder.with_extension("image");
                std::fs::write(&image, vec![0; 16 << 20]).map_err(|error| error.to_string())?;
                let file = image.display().to_string();
                run("mkfs.ext4", &["-q", "-F", &file])?;
                run("mount", &["-o", "loop", &file, &at])?;
                sick.image = Some(image);
                run("fsfreeze", &["-f", &at])?;
                sick.frozen = true;
            }
        }
        Ok(sick)
    }
}

impl Drop for Sick {
    fn drop(&mut self) {
        let at = self.folder.display().to_string();
        if self.frozen
            && let Err(why) = run("fsfreeze", &["-u", &at])
        {
            eprintln!("{at} stays frozen: {why}");
        }
        // Lazily: somebody may hold a file open.
        let _was_never_mounted = run("umount", &["-l", &at]);
        if let Some(image) = &self.image {
            let _is_gone = std::fs::remove_file(image);
        }
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let said = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if said.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&said.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip;

    #[test]
    fn it_refuses_writes_and_is_gone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "before").unwrap();
        for what in [Disk::Full, Disk::ReadOnly] {
            match Sick::over(folder.path(), what) {
                Ok(sick) => {
                    assert!(std::fs::write(&file, "during").is_err(), "{what:?}");
                    drop(sick);
                }
                Err(why) => skip::left_out(&format!("no file systems here: {why}"), "run it as root"),
            }
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "before", "{what:?}");
        }
    }
}
