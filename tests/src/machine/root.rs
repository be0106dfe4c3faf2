//! The root of a machine: a copy of a Debian 12 that debootstrap made once.
//!
//! In: packages, files, programs. Out: a folder that systemd-nspawn can boot. Never: changes the kept one.

use crate::skip;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// What is in every machine besides Debian's smallest set. A change makes a new kept root.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,etcd-server,nginx-light";
const KEPT: &str = "bookworm-2";

/// One debootstrap at a time.
static MAKING: Mutex<()> = Mutex::new(());

/// The root of a machine that has not booted.
#[derive(Debug)]
pub struct Root {
    folder: tempfile::TempDir,
    binds: Vec<(PathBuf, String)>,
}

impl Root {
    /// A fresh Debian 12, or none (and a line that says so) where this process may not make one.
    ///
    /// # Panics
    /// When debootstrap or the copy fails.
    #[must_use]
    pub fn fresh() -> Option<Root> {
        if std::env::var_os("SHANTY_NSPAWN").is_none() {
            skip::left_out("no machine of its own", "as root: tests/run, or set SHANTY_NSPAWN=1");
            return None;
        }
        skip::program("debootstrap", "debootstrap")?;
        skip::program("systemd-nspawn", "systemd-container")?;
        let kept = kept_root();
        let folder = tempfile::Builder::new().prefix("shanty-machine-").tempdir().expect("temporary folder");
        let root = Root { folder, binds: Vec::new() };
        let status = Command::new("cp").arg("-a").arg(&kept).arg(root.path()).status().expect("cp");
        assert!(status.success(), "cannot copy {}", kept.display());
        root.write("etc/hosts", "127.0.0.1 localhost\n");
        root.write("etc/hostname", "shanty-test\n");
        // The machine has no other network, and none of its services begin before the test says so.
        root.write("etc/resolv.conf", "");
        for unit in ["etcd.service", "nginx.service"] {
            drop(std::fs::remove_file(
                root.path().join("etc/systemd/system/multi-user.target.wants").join(unit),
            ));
        }
        Some(root)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Files of the host that are seen inside, read-only.
    #[must_use]
    pub fn binds(&self) -> &[(PathBuf, String)] {
        &self.binds
    }

    /// Puts a file in.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        drop(std::fs::remove_file(&path));
        std::fs::write(&path, text).expect("written");
    }

    /// Puts a copy of a file of the host in.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn copy(&self, from: &Path, path: &str) {
        self.write(path, &std::fs::read_to_string(from).expect("a text"));
    }

    /// Lets a program of the host be seen inside.
    pub fn bind(&mut self, from: &Path, inside: &str) {
        // What is bound on needs a place to be bound to.
        self.write(inside.trim_start_matches('/'), "");
        self.binds.push((from.to_path_buf(), inside.to_owned()));
    }
}

/// The kept root, made if it is not there: half a minute, and a package mirror is needed.
fn kept_root() -> PathBuf {
    let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let me = std::env::current_exe().expect("own path");
    let target = me.ancestors().nth(3).expect("target/<profile>/deps");
    let kept = target.join("nspawn").join(KEPT).join("root");
    if kept.is_dir() {
        return kept;
    }
    let made = target.join("nspawn").join(format!("{KEPT}.{}", std::process::id()));
    std::fs::create_dir_all(&made).expect("folder");
    let output = Command::new("debootstrap")
        .args(["--variant=minbase", &format!("--include={PACKAGES}"), "bookworm"])
        .arg(made.join("root"))
        .output()
        .expect("debootstrap");
    assert!(
        output.status.success(),
        "debootstrap failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let ready = target.join("nspawn").join(KEPT);
    // Another test program may have been quicker; then ours is not needed.
    if std::fs::rename(&made, &ready).is_err() {
        drop(std::fs::remove_dir_all(&made));
    }
    kept
}
