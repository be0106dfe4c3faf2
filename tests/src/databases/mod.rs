//! Real databases on loopback: PostgreSQL and MariaDB from Debian's packages, each with data of its own.
//!
//! In: nothing. Out: [`Postgres`] or [`MariaDb`], ready, with URLs of databases that nobody else uses.
//! Without the server on this machine they say that the test is skipped (or fail, see [`skip`](crate::skip)).
//! Never: touches a server of the machine, leaves a process or a folder behind.
//! Tests: `tests/tests/store.rs`.

mod mariadb;
mod owner;
mod postgres;

pub use mariadb::MariaDb;
pub use postgres::Postgres;

use crate::cluster::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(60);
const USER: &str = "shanty";
/// With characters that a URL has to escape.
const PASSWORD: &str = "s3cr/et@:x";
const PASSWORD_IN_URL: &str = "s3cr%2Fet%40%3Ax";

#[derive(Debug)]
struct Server {
    /// Dropped before the folder.
    process: Option<Process>,
    folder: tempfile::TempDir,
    command: Vec<String>,
    name: &'static str,
    port: u16,
    made: AtomicU32,
}

impl Server {
    fn new_name(&self) -> String {
        format!("d{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    fn launch(&mut self) {
        self.kill();
        let Some((program, args)) = self.command.split_first() else {
            unreachable!("a command has a program")
        };
        match Process::start(self.name, self.folder.path(), Path::new(program), args) {
            Ok(process) => self.process = Some(process),
            Err(error) => unreachable!("{} was found but does not start: {error}", self.name),
        }
    }

    /// Waits a moment for a server that is starting.
    fn still_lives(&mut self, began: Instant) {
        let Some(process) = &mut self.process else { unreachable!("it was just started") };
        let has_ended = process.ended();
        assert!(
            has_ended.is_none() && began.elapsed() < START,
            "{} did not come up ({has_ended:?}):\n{}",
            self.name,
            process.last_words()
        );
        std::thread::sleep(Duration::from_millis(30));
    }

    /// A killed PostgreSQL's children end a moment after it; until then the next one refuses to start.
    fn waits_for_its_forerunner(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| {
            process.ended().is_some() && process.last_words().contains("pre-existing shared memory block")
        })
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// The server's own children; it does not wait for those that ended while it is stopped, so their pids are theirs.
    fn signal_children(&self, signal: Signal) {
        let Some(pid) = self.process.as_ref().map(Process::pid) else { return };
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)) {
            let _gone_already = kill_process(child, signal);
        }
    }

    fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.stop();
        }
    }

    fn resume(&mut self) {
        if let Some(process) = &mut self.process {
            process.cont();
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn output(mut command: Command) -> Output {
    let program = command.get_program().to_owned();
    command.current_dir("/").stdin(Stdio::null());
    command.output().unwrap_or_else(|error| unreachable!("{}: {error}", program.display()))
}

fn succeeds(command: &[String]) {
    succeeds_with(command, &[]);
}

fn succeeds_with(command: &[String], environment: &[(&str, &str)]) {
    let Some((program, args)) = command.split_first() else { unreachable!("a command has a program") };
    let mut whole = Command::new(program);
    whole.args(args).envs(environment.iter().copied());
    let said = output(whole);
    assert!(
        said.status.success(),
        "{command:?}: {}\n{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}
