//! Holds single threads of a process still, as a debugger does, while its other threads go on.
//!
//! A stop signal stands for the whole process; this is how one loop of a process hangs alone.
//! In: a process, which of its threads. Out: [`Hold`]; dropping it lets them go on.
//! Never: keeps a thread from dying: who holds a thread must be told of its death, and is.
//! Tests: below.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at threads that are held.
const LOOK: Duration = Duration::from_millis(5);
/// Threads stand still within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Threads that are held.
#[derive(Debug)]
pub struct Hold {
    release: mpsc::SyncSender<()>,
    holder: Option<JoinHandle<()>>,
}

impl Hold {
    /// Holds the threads of `process` whose names `which` picks; the thread that a process begins with has its name.
    ///
    /// # Panics
    /// When there is none, or they cannot be held.
    #[must_use]
    pub fn threads(process: u32, which: impl Fn(&str) -> bool) -> Hold {
        let ids = threads(process).into_iter().filter(|(_, name)| which(name)).map(|(id, _)| id);
        Hold::of(ids.collect())
    }

    /// Holds the thread that a process begins with: it runs what a program of ours blocks on.
    ///
    /// # Panics
    /// When it cannot be held.
    #[must_use]
    pub fn first_thread(process: u32) -> Hold {
        Hold::of(BTreeSet::from([process]))
    }

    fn of(ids: BTreeSet<u32>) -> Hold {
        assert!(!ids.is_empty(), "no such thread");
        let (release, released) = mpsc::sync_channel(1);
        let (held, holds) = mpsc::sync_channel(1);
        // All of it is done by one thread: the system lets no other one speak to what it holds.
        let hold = move || {
            let pids = ids.iter().map(|id| Pid::from_raw(i32::try_from(*id).expect("a thread's id")));
            let mut pids: Vec<Pid> = pids.collect();
            for pid in &pids {
                ptrace::seize(*pid, ptrace::Options::empty()).expect("a thread that may be held");
                ptrace::interrupt(*pid).expect("it is held");
                wait_until_still(*pid);
            }
            held.send(()).expect("somebody waits for it");
            while let Err(mpsc::RecvTimeoutError::Timeout) = released.recv_timeout(LOOK) {
                pids.retain(|pid| !is_dead(*pid));
            }
            for pid in pids {
                // One that has died meanwhile needs nothing.
                let _gone = ptrace::detach(pid, None);
            }
        };
        let holder = std::thread::Builder::new().name("hold".into()).spawn(hold).expect("a thread");
        let hold = Hold { release, holder: Some(holder) };
        holds.recv_timeout(PATIENCE).expect("the threads stand still");
        hold
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ended = self.release.try_send(());
        if let Some(holder) = self.holder.take() {
            let _panicked = holder.join();
        }
    }
}

fn wait_until_still(pid: Pid) {
    let began = Instant::now();
    while !matches!(look(pid), Some(WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..))) {
        assert!(began.elapsed() < PATIENCE, "{pid} does not stand still");
        std::thread::sleep(LOOK);
    }
}

fn is_dead(pid: Pid) -> bool {
    matches!(look(pid), Some(WaitStatus::Exited(..) | WaitStatus::Signaled(..)))
}

/// What the system has to tell of a thread now; a thread that is gone altogether is as one that has exited.
fn look(pid: Pid) -> Option<WaitStatus> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
        Ok(WaitStatus::StillAlive) => None,
        Ok(status) => Some(status),
        Err(_) => Some(WaitStatus::Exited(pid, 0)),
    }
}

/// The threads of a process with their names.
fn threads(process: u32) -> Vec<(u32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let all = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        Some((task.file_name().to_str()?.parse().ok()?, name.trim().to_owned()))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn state(thread: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).ok()?;
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    }

    #[test]
    fn a_thread_stands_still_until_it_is_let_go_and_can_be_killed_meanwhile() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep");
        let hold = Hold::first_thread(child.id());
        assert_eq!(state(child.id()), Some('t'));
        drop(hold);
        let began = Instant::now();
        while state(child.id()) != Some('S') {
            assert!(began.elapsed() < PATIENCE, "it does not go on: {:?}", state(child.id()));
        }
        let _hold = Hold::threads(child.id(), |name| name == "sleep");
        child.kill().expect("killed");
        let began = Instant::now();
        while !matches!(state(child.id()), None | Some('Z')) {
            assert!(began.elapsed() < PATIENCE, "it does not die: {:?}", state(child.id()));
        }
        // Whoever holds a child of its own is told of its death first.
        let _told_already = child.wait();
    }
}
