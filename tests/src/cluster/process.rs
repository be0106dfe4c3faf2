//! A real process under test: started with a log file, signalled, and ended with its owner.
//!
//! In: a program and its arguments. Out: [`Process`]. Never: leaves a process behind (dropping ends it,
//! also in a panic; the system ends it when the test program itself is killed), never signals a process that
//! it did not start.
//! Tests: below.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

type Order = (Command, mpsc::SyncSender<std::io::Result<Child>>);

/// The thread that starts all processes: the system kills them when the thread that started them ends, and
/// threads of tests end before their programs do.
static STARTER: LazyLock<mpsc::SyncSender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::sync_channel::<Order>(1);
    let serve = move || {
        for (mut command, answer) in inbox {
            drop(answer.send(command.spawn()));
        }
    };
    std::thread::Builder::new().name("starter".into()).spawn(serve).expect("a thread");
    orders
});

fn spawn(command: Command) -> std::io::Result<Child> {
    let (answer, answered) = mpsc::sync_channel(1);
    STARTER.send((command, answer)).expect("the starter lives as long as the program");
    answered.recv().expect("it answers")
}

/// A process that ends with its owner.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `program`; what it says goes to `<folder>/<name>.log`, after what was there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, folder: &Path, program: &Path, args: &[String]) -> std::io::Result<Process> {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        // setpriv replaces itself by the program: same pid, and the system kills it when we are gone.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = spawn(command)?;
        Ok(Process { name: name.to_owned(), log, child, ended: None })
    }

    /// Its name in this test.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of what it said, for failures.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.ended = self.child.wait().ok();
    }

    /// SIGSTOP: it stays, but does nothing. Waits until all of its threads stand still: one that runs on another core
    /// may finish what it is at.
    pub fn stop(&mut self) {
        self.signal(Signal::STOP);
        let began = Instant::now();
        while self.is_running() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a thread of it is neither stopped nor at its end.
    fn is_running(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.into_iter().flatten().flatten().any(|task| {
            let status = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // The name before it, in parentheses, may hold anything.
            let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            state.is_some_and(|state| !matches!(state, 'T' | 't' | 'Z' | 'X'))
        })
    }

    /// SIGCONT: it goes on as if nothing had been.
    pub fn cont(&mut self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM: it is asked to leave.
    pub fn term(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended within the time.
    pub async fn wait_end(&mut self, within: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            if began.elapsed() > within {
                panic!("{} has not ended within {within:?}; it said last:\n{}", self.name, self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn signal(&mut self, signal: Signal) {
        // A pid that was waited for may be another's by now.
        if self.ended().is_none()
            && let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw)
        {
            let _gone_already = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill9();
        }
        if std::thread::panicking() {
            eprintln!("--- {} said last ({})\n{}", self.name, self.log.display(), self.last_words());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let folder = tempfile::tempdir().expect("folder");
        let args = ["-c".to_owned(), script.to_owned()];
        let process = Process::start("sh", folder.path(), Path::new("/bin/sh"), &args).expect("started");
        (folder, process)
    }

    fn lives(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[tokio::test]
    async fn it_is_gone_when_its_owner_is() {
        let (_folder, process) = shell("exec sleep 600");
        let pid = process.pid();
        assert!(lives(pid));
        drop(process);
        assert!(!lives(pid));
    }

    #[tokio::test]
    async fn its_words_and_its_end_are_kept() {
        let (_folder, mut process) = shell("echo hello; exit 3");
        assert_eq!(process.wait_end(Duration::from_secs(10)).await.code(), Some(3));
        assert_eq!(process.log(), "hello\n");
    }

    #[tokio::test]
    async fn a_stopped_process_can_be_ended() {
        let (_folder, mut process) = shell("exec sleep 600");
        process.stop();
        process.kill9();
        assert!(process.ended().is_some());
    }
}
