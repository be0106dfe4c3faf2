//! A TCP proxy between a worker and its database that knows one thing of the protocols: where the client says COMMIT.
//!
//! ```text
//!  worker ──COMMIT──► proxy ──COMMIT──► server         the server has committed,
//!         ◄── gone ──       ◄── done ──                the worker does not know
//! ```
//! In: the server's port, what to do with COMMITs. Out: a port to connect to, counts of what was done.
//! Never: changes a byte; a connection that is not cut passes as it is.
//! Tests: below, and `tests/tests/t51_sync_faults.rs`.

use crate::cluster::free_port;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is done with a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It passes, and so does its answer.
    Pass,
    /// It passes; when the answer comes, both connections are cut instead: it is committed.
    LoseAnswer,
    /// Both connections are cut as soon as it was passed on: committed or not, nobody knows.
    CutBehind,
    /// Both connections are cut instead of passing it on: it is not committed.
    LoseCommit,
    /// It passes; the answer comes so much later.
    Delay(Duration),
}

#[derive(Debug)]
struct Shared {
    server: u16,
    stop: AtomicBool,
    commits: AtomicU64,
    /// Every so manyth COMMIT meets the next of these fates, in turn.
    plan: Mutex<(u64, Vec<Fate>)>,
    lost_answers: AtomicU64,
    cut_behind: AtomicU64,
    lost_commits: AtomicU64,
    delayed: AtomicU64,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// COMMITs seen.
    pub commits: u64,
    /// See [`Fate::LoseAnswer`].
    pub lost_answers: u64,
    /// See [`Fate::CutBehind`].
    pub cut_behind: u64,
    /// See [`Fate::LoseCommit`].
    pub lost_commits: u64,
    /// See [`Fate::Delay`].
    pub delayed: u64,
}

impl Proxy {
    /// A proxy in front of a server on loopback; every COMMIT passes.
    ///
    /// # Panics
    /// When there is no port or no thread for it.
    #[must_use]
    pub fn start(server: u16) -> Proxy {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let shared = Arc::new(Shared {
            server,
            stop: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            plan: Mutex::new((1, vec![Fate::Pass])),
            lost_answers: AtomicU64::new(0),
            cut_behind: AtomicU64::new(0),
            lost_commits: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
        });
        let theirs = shared.clone();
        spawn("proxy", move || accept(&listener, &theirs));
        Proxy { port, shared }
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on every `nth` COMMIT meets the next of these fates, in turn, all others pass.
    ///
    /// # Panics
    /// When there is no fate.
    pub fn every(&self, nth: u64, fates: &[Fate]) {
        assert!(nth > 0 && !fates.is_empty(), "give a number and a fate");
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = (nth, fates.to_vec());
    }

    /// What was done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Done {
            commits: count(&self.shared.commits),
            lost_answers: count(&self.shared.lost_answers),
            cut_behind: count(&self.shared.cut_behind),
            lost_commits: count(&self.shared.lost_commits),
            delayed: count(&self.shared.delayed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(work).expect("a thread");
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((client, _)) => {
                let shared = shared.clone();
                spawn("proxy pair", move || pair(client, &shared));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return,
        }
    }
}

/// What one direction of a connection tells the other.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    next_answer: Mutex<Fate>,
}

impl Pair {
    fn cut(&self) {
        let _gone = (self.client.shutdown(Shutdown::Both), self.server.shutdown(Shutdown::Both));
    }

    fn answer(&self) -> std::sync::MutexGuard<'_, Fate> {
        self.next_answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pair(client: TcpStream, shared: &Arc<Shared>) {
    // A server that is down refuses; so does the proxy then.
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)) else { return };
    let ready = client.set_nonblocking(false).and(client.set_nodelay(true)).and(server.set_nodelay(true));
    if ready.is_err() {
        return;
    }
    let pair = Arc::new(Pair { client, server, next_answer: Mutex::new(Fate::Pass) });
    let (theirs, counts) = (pair.clone(), shared.clone());
    spawn("proxy down", move || {
        down(&theirs, &counts);
        theirs.cut();
    });
    up(&pair, shared);
    pair.cut();
}

/// From the client to the server.
fn up(pair: &Pair, shared: &Shared) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read @ 1..) = (&pair.client).read(&mut buffer) {
        let bytes = &buffer[..read];
        let fate = if says_commit(bytes) { fate(shared) } else { Fate::Pass };
        if fate == Fate::LoseCommit {
            shared.lost_commits.fetch_add(1, Ordering::SeqCst);
            return;
        }
        *pair.answer() = fate;
        if (&pair.server).write_all(bytes).is_err() {
            return;
        }
        if fate == Fate::CutBehind {
            shared.cut_behind.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

/// From the server to the client.
fn down(pair: &Pair, shared: &Shared) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read @ 1..) = (&pair.server).read(&mut buffer) {
        let fate = std::mem::replace(&mut *pair.answer(), Fate::Pass);
        match fate {
            Fate::LoseAnswer => {
                shared.lost_answers.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Fate::Delay(time) => {
                shared.delayed.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(time);
            }
            Fate::Pass | Fate::CutBehind | Fate::LoseCommit => {}
        }
        if (&pair.client).write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn fate(shared: &Shared) -> Fate {
    let number = shared.commits.fetch_add(1, Ordering::SeqCst) + 1;
    let plan = shared.plan.lock().unwrap_or_else(PoisonError::into_inner);
    let (nth, fates) = (plan.0, &plan.1);
    if !number.is_multiple_of(nth) {
        return Fate::Pass;
    }
    let turn = usize::try_from(number / nth).unwrap_or(0);
    fates[turn % fates.len()]
}

/// Whether a client's packet is the statement COMMIT, alone or behind short ones: a COM_QUERY of MySQL's protocol, or
/// a Query or Parse of PostgreSQL's. Clients wait for each answer, so a statement begins a packet.
fn says_commit(bytes: &[u8]) -> bool {
    let text = match bytes {
        [_, _, _, 0, 3, rest @ ..] | [b'Q', _, _, _, _, rest @ ..] => rest,
        [b'P', _, _, _, _, rest @ ..] => {
            rest.iter().position(|byte| *byte == 0).map_or(rest, |end| &rest[end + 1..])
        }
        _ => return false,
    };
    let is_commit = |statement: &[u8]| {
        let word = statement.trim_ascii_start().get(..6);
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"commit"))
    };
    text.len() < 200 && text.split(|byte| *byte == b';').any(is_commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_known_in_both_protocols() {
        assert!(says_commit(b"\x07\0\0\0\x03COMMIT"));
        assert!(says_commit(b"Q\0\0\0\x0bCOMMIT\0"));
        assert!(says_commit(b"P\0\0\0\x17sqlx_s_1\0commit\0\0\0"));
        assert!(says_commit(b"Q\0\0\0\x2aSET LOCAL synchronous_commit TO off; COMMIT\0"));
        assert!(!says_commit(b"\x20\0\0\0\x03SELECT 'COMMIT'"));
        assert!(!says_commit(b"d\0\0\0\x0bCOMMIT\0"));
    }

    /// A server that answers each packet with `ok` and counts them.
    fn server() -> (u16, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(AtomicU64::new(0));
        let counter = heard.clone();
        spawn("server", move || {
            for stream in listener.incoming().flatten() {
                let counter = counter.clone();
                spawn("session", move || {
                    let mut buffer = [0; 64];
                    while let Ok(1..) = (&stream).read(&mut buffer) {
                        counter.fetch_add(1, Ordering::SeqCst);
                        if (&stream).write_all(b"ok").is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (port, heard)
    }

    /// What the client hears after a COMMIT: nothing when it is cut off.
    fn commit(proxy: &Proxy) -> Vec<u8> {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        (&stream).write_all(b"Q\0\0\0\x0bCOMMIT\0").unwrap();
        let mut buffer = [0; 8];
        let read = (&stream).read(&mut buffer).unwrap_or(0);
        buffer[..read].to_vec()
    }

    #[test]
    fn answers_and_commits_are_lost_in_turn() {
        let (port, heard) = server();
        let proxy = Proxy::start(port);
        assert_eq!(commit(&proxy), b"ok");
        proxy.every(1, &[Fate::LoseCommit, Fate::LoseAnswer]);
        // The second COMMIT of all meets the first fate again: the turn is its number.
        assert_eq!(commit(&proxy), b"");
        assert_eq!(heard.load(Ordering::SeqCst), 1, "the commit was not passed on");
        assert_eq!(commit(&proxy), b"");
        assert_eq!(heard.load(Ordering::SeqCst), 2, "the commit was passed on");
        let done = proxy.done();
        assert_eq!((done.commits, done.lost_commits, done.lost_answers), (3, 1, 1));
    }
}
