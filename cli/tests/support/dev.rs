//! `shanty dev` as a process of its own.

use super::{Ran, command, shanty, signal};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

/// A process that says an address in its first line, and what follows.
pub struct Running {
    /// The process.
    pub child: Child,
    /// Where its master listens.
    pub addr: String,
    _out: BufReader<ChildStdout>,
}

/// A cluster in `folder` with more flags, once it is ready.
pub async fn dev(folder: &std::path::Path, workers: &str, flags: &[&str]) -> Running {
    let data = folder.display().to_string();
    let mut child = command(&["dev", "--listen", "127.0.0.1:0", "--workers", workers, "--data", &data])
        .args(flags)
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let first = tokio::time::timeout(Duration::from_secs(30), out.read_line(&mut line));
    first.await.expect("a banner within 30 s").unwrap();
    let addr = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).expect("an address");
    Running { addr: addr.to_owned(), child, _out: out }
}

impl Running {
    /// Runs the real binary against it.
    pub async fn shanty(&self, words: &[&str]) -> Ran {
        shanty(&[&["--addr", &self.addr], words].concat(), "").await
    }

    /// Ctrl-C, and its exit code.
    pub async fn interrupt(mut self) -> Option<i32> {
        signal(&self.child, rustix::process::Signal::INT);
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait());
        ended.await.expect("it ends within 20 s").unwrap().code()
    }
}
