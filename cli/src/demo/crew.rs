//! Child processes that end with this one: on return, on error, on Ctrl-C, on SIGKILL. Most are this executable again;
//! another program is started by it, which becomes that program once it is sure to end with its parent.
//!
//! In: names, programs, arguments. Out: running processes, their logs in a temporary folder.
//! Never: signals a process that it did not start.
//! Tests: `cli/tests/demo.rs`.

use crate::error::Error;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Tells a child the process that it shall not outlive.
const PARENT: &str = "SHANTY_ENDS_WITH";
/// Tells a child the program that it shall become.
const BECOMES: &str = "SHANTY_BECOMES";
/// How long processes may take to end when they are asked to; what they keep is thrown away anyway.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines of a log that are shown when its process fails.
const LAST_WORDS: usize = 12;

struct Member {
    name: String,
    child: Child,
}

/// Child processes and their folder.
pub(crate) struct Crew {
    members: Vec<Member>,
    folder: TempDir,
    program: PathBuf,
    keep: bool,
}

impl Crew {
    /// An empty crew; with `keep` its members may outlive this process.
    ///
    /// # Errors
    /// When there is no place for temporary files.
    pub(crate) fn gather(keep: bool) -> Result<Crew, Error> {
        let folder = tempfile::Builder::new().prefix("shanty-demo-").tempdir().map_err(|error| {
            Error::local(
                format!("cannot make a temporary folder: {error}"),
                "name another place: TMPDIR=/path",
            )
        })?;
        let program = std::env::current_exe().map_err(|error| {
            Error::local(format!("cannot find this executable: {error}"), "start it by its full path")
        })?;
        Ok(Crew { members: Vec::new(), folder, program, keep })
    }

    /// Where the members keep their data and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts this executable as a member; what it says goes to `<name>.log`. Called on the main thread: the system
    /// ends children when the *thread* that started them is gone.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&mut self, name: &str, args: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(&self.program);
        command.args(args);
        self.spawn(name, command)
    }

    /// The same for another program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start_program(&mut self, name: &str, program: &Path, args: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(if self.keep { program } else { self.program.as_path() });
        command.args(args);
        if !self.keep {
            command.env(BECOMES, program);
        }
        self.spawn(name, command)
    }

    fn spawn(&mut self, name: &str, mut command: Command) -> Result<(), Error> {
        let log = self.folder.path().join(format!("{name}.log"));
        let fail = |error: std::io::Error| {
            Error::local(
                format!("cannot start {name}: {error}"),
                "look at the limits of this shell: ulimit -a",
            )
        };
        let out = std::fs::File::create(&log).map_err(fail)?;
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(fail)?).stderr(out);
        // A group of its own: Ctrl-C in the terminal is for this process, which ends them in order.
        command.process_group(0).kill_on_drop(!self.keep).env_remove("NOTIFY_SOCKET");
        if !self.keep {
            command.env(PARENT, std::process::id().to_string());
        }
        let child = command.spawn().map_err(fail)?;
        self.members.push(Member { name: name.to_owned(), child });
        Ok(())
    }

    /// The process id of a member that lives.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        self.members.iter().find(|m| m.name == name).and_then(|m| m.child.id())
    }

    /// SIGKILL: no good-bye.
    pub(crate) async fn kill(&mut self, name: &str) {
        if let Some(at) = self.members.iter().position(|m| m.name == name) {
            let mut member = self.members.swap_remove(at);
            // An error means that it is gone already.
            let _gone = member.child.kill().await;
        }
    }

    /// Fails when a member has ended that should not have, with what it said last.
    ///
    /// # Errors
    /// As said.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        for member in &mut self.members {
            if let Ok(Some(status)) = member.child.try_wait() {
                let log = self.folder.path().join(format!("{}.log", member.name));
                return Err(Error::local(
                    format!("{} ended with {status}:\n{}", member.name, last_words(&log)),
                    "start it by hand to see more: RUST_LOG=debug shanty dev",
                ));
            }
        }
        Ok(())
    }

    /// Asks all to end, then ends those that did not, then removes the folder.
    pub(crate) async fn dismiss(mut self) {
        for member in &self.members {
            signal(&member.child, Signal::TERM);
        }
        let all = async {
            for member in &mut self.members {
                let _status = member.child.wait().await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            for member in &mut self.members {
                let _gone = member.child.kill().await;
            }
        }
    }

    /// Leaves everything as it is and answers the command that stops and removes it.
    pub(crate) fn leave(self) -> String {
        let pids: Vec<_> =
            self.members.iter().filter_map(|m| m.child.id()).map(|pid| pid.to_string()).collect();
        let folder = self.folder.keep();
        format!("kill {}; rm -r {}", pids.join(" "), folder.display())
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It is not waited for yet, so the id is still its own; an error means that it has ended.
        let _gone = kill_process(pid, signal);
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// In a child that was told so: has the system end it when its parent is gone, however that ends; then it becomes the
/// program that it was told to become.
pub(crate) fn end_with_parent() {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|id| id.parse::<i32>().ok()) else { return };
    // Without it the child still ends when it is asked to; only a killed parent would leave it behind.
    let _best_effort = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent) {
        std::process::exit(0);
    }
    if let Some(program) = std::env::var_os(BECOMES) {
        // What it was told outlives the exec, and so does the tie to its parent.
        let mut becomes = std::process::Command::new(&program);
        let error = becomes.args(std::env::args_os().skip(1)).env_remove(PARENT).env_remove(BECOMES).exec();
        eprintln!("cannot become {}: {error}", program.display());
        std::process::exit(1);
    }
}
