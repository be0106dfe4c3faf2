//! A Debian 12 of its own with a real systemd inside: made by debootstrap once, booted by systemd-nspawn.
//!
//! ```text
//!  target/nspawn/bookworm (debootstrap, kept) ──copy──► a folder ──systemd-nspawn -b──► Machine
//! ```
//! In: files to put in before it boots. Out: [`Machine`], whose commands run inside. It has a network of its
//! own with nothing but loopback. Never: touches the host's services; never without `SHANTY_NSPAWN=1`, which
//! `tests/run` sets when it is root.
//! Tests: `tests/tests/t61_systemd.rs`.

mod root;

pub use root::Root;

use crate::cluster::Process;
use crate::patience::until;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A booted machine.
#[derive(Debug)]
pub struct Machine {
    /// Process id of its first process, as the host sees it.
    init: u32,
    nspawn: Process,
    root: Root,
    _alone: OwnedMutexGuard<()>,
}

/// One machine at a time: systemd-nspawn puts them into the same control group.
static ALONE: LazyLock<Arc<Mutex<()>>> = LazyLock::new(|| Arc::new(Mutex::new(())));

impl Machine {
    /// Boots a root.
    ///
    /// # Panics
    /// When it does not come up within a minute.
    pub async fn boot(root: Root) -> Machine {
        let alone = ALONE.clone().lock_owned().await;
        let folder = root.path().display().to_string();
        let mut args: Vec<String> = [
            "-q",
            "-b",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--console=pipe",
            "-D",
            &folder,
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(
            root.binds().iter().map(|(host, inside)| format!("--bind-ro={}:{inside}", host.display())),
        );
        let logs = root.path().parent().expect("a folder above the root").to_path_buf();
        let nspawn = Process::start("nspawn", &logs, Path::new("/usr/bin/systemd-nspawn"), &args)
            .expect("systemd-nspawn");
        let mut machine = Machine { init: 0, nspawn, root, _alone: alone };
        until("the machine has booted", Duration::from_secs(60), async || {
            if let Some(status) = machine.nspawn.ended() {
                panic!("systemd-nspawn ended with {status}:\n{}", machine.nspawn.last_words());
            }
            machine.find_init().ok_or("no first process yet")?;
            let said = machine.run(&["systemctl", "is-system-running"]);
            // A unit of the base system that failed is not our matter: `degraded` is up.
            match String::from_utf8_lossy(&said.stdout).trim() {
                "running" | "degraded" => Ok(()),
                _ => Err("systemd is not up yet"),
            }
        })
        .await;
        machine
    }

    fn find_init(&mut self) -> Option<()> {
        let pid = self.nspawn.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        self.init = children.split_whitespace().next()?.parse().ok()?;
        Some(())
    }

    /// Runs a command inside and waits for its end.
    ///
    /// # Panics
    /// When nsenter cannot be started.
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["-t", &self.init.to_string(), "-m", "-u", "-i", "-n", "-p", "--"])
            .args(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "NO_COLOR=1"])
            .args(command)
            .output()
            .expect("nsenter")
    }

    /// Runs a command inside that must succeed; answers what it wrote to standard output.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn must(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{command:?}: {}\n{out}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        out
    }

    /// `systemctl start` of units; when one fails, its journal is in the failure.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(&self, units: &[&str]) {
        for unit in units {
            let output = self.run(&["systemctl", "start", unit]);
            assert!(
                output.status.success(),
                "{unit} does not start: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                self.journal(unit)
            );
        }
    }

    /// A property of a unit, as `systemctl show` prints it.
    pub fn property(&self, unit: &str, property: &str) -> String {
        self.must(&["systemctl", "show", "--value", "-p", property, unit]).trim().to_owned()
    }

    /// The main process of a unit, as the host sees it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn main_process(&self, unit: &str) -> u32 {
        let inside = self.property(unit, "MainPID");
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(&self.init.to_string());
        let is_it = |pid: &str| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            // Its id in each namespace, the innermost last.
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            ids.and_then(|ids| ids.split_whitespace().last()) == Some(&inside) && namespace(pid) == ours
        };
        let all = std::fs::read_dir("/proc").expect("/proc").flatten();
        let names = all.filter_map(|entry| entry.file_name().into_string().ok());
        let found = names.filter(|name| name.parse::<u32>().is_ok()).find(|pid| is_it(pid));
        found.and_then(|pid| pid.parse().ok()).expect("the unit's main process")
    }

    /// The last lines of a unit's journal.
    pub fn journal(&self, unit: &str) -> String {
        let output = self.run(&["journalctl", "--no-pager", "-o", "cat", "-n", "40", "-u", unit]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a file inside says.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.path().join(path)).expect("a text")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its processes end with its first one; that one ends with systemd-nspawn, which Process ends.
        if self.init != 0 && self.nspawn.ended().is_none() {
            self.run(&["systemctl", "--no-block", "--force", "--force", "poweroff"]);
        }
        self.nspawn.kill9();
    }
}
