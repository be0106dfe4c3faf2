//! A target of load tests that counts: a small HTTP/1.1 server with the time of every arrival.
//!
//! In: connections on a free loopback port. Out: the arrivals' times, answers as the test wants them.
//! Never: shares a thread with the test, or drops an arrival silently (what it read whole, it counted).
//! Tests: below.

use shanty_rt::clock::monotonic_ns;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::free_port;

#[derive(Debug, Default)]
struct Shared {
    arrivals: Mutex<Vec<u64>>,
    status: AtomicU16,
    delay_us: AtomicU64,
    stop: AtomicBool,
}

/// A target that counts. It stops when it is dropped.
#[derive(Debug)]
pub struct Origin {
    port: u16,
    shared: Arc<Shared>,
}

impl Origin {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port or no thread for it.
    #[must_use]
    pub fn start() -> Origin {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let shared = Arc::new(Shared { status: AtomicU16::new(200), ..Shared::default() });
        let theirs = shared.clone();
        spawn("origin", move || serve(&listener, &theirs));
        Origin { port, shared }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Requests that arrived whole.
    #[must_use]
    pub fn count(&self) -> i64 {
        i64::try_from(self.lock().len()).unwrap_or(i64::MAX)
    }

    /// When they arrived: nanoseconds of CLOCK_MONOTONIC, in order.
    #[must_use]
    pub fn arrivals(&self) -> Vec<u64> {
        let mut arrivals = self.lock().clone();
        arrivals.sort_unstable();
        arrivals
    }

    /// Requests that arrived from `from` (CLOCK_MONOTONIC) on, in windows of this length; the last one may be
    /// incomplete.
    #[must_use]
    pub fn windows(&self, from: u64, window: Duration) -> Vec<u32> {
        windows(&self.arrivals(), from, window)
    }

    /// Answers with this status from now on.
    pub fn answer_with(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Answers after this time from now on.
    pub fn answer_after(&self, delay: Duration) {
        let delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.delay_us.store(delay_us, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn windows(arrivals: &[u64], from: u64, window: Duration) -> Vec<u32> {
    let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    let mut counts = Vec::new();
    for at in arrivals.iter().filter(|at| **at >= from) {
        let index = usize::try_from((at - from) / window_ns).unwrap_or(usize::MAX);
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        counts[index] += 1;
    }
    counts
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(name.to_owned()).stack_size(128 << 10).spawn(work).expect("a thread");
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let theirs = shared.clone();
                spawn("origin-connection", move || drop(answer(stream, &theirs)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1))
            }
            Err(_) => return,
        }
    }
}

/// Serves one connection: requests without a body, one after the other.
fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut held = Vec::new();
    let mut buffer = [0_u8; 16 << 10];
    while !shared.stop.load(Ordering::Relaxed) {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        };
        let now = monotonic_ns();
        held.extend_from_slice(&buffer[..read]);
        while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            held.drain(..end + 4);
            shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(now);
            let delay_us = shared.delay_us.load(Ordering::Relaxed);
            if delay_us > 0 {
                std::thread::sleep(Duration::from_micros(delay_us));
            }
            let status = shared.status.load(Ordering::Relaxed);
            // One write: a client may look at the first bytes that come.
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_what_arrives_and_answers_as_it_is_told() {
        let origin = Origin::start();
        let address = origin.url().replace("http://", "").replace('/', "");
        let mut stream = TcpStream::connect(address).unwrap();
        let mut ask = |origin: &Origin, status: u16| {
            origin.answer_with(status);
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut answer = [0_u8; 256];
            let read = stream.read(&mut answer).unwrap();
            String::from_utf8_lossy(&answer[..read]).into_owned()
        };
        assert!(ask(&origin, 200).starts_with("HTTP/1.1 200 "));
        assert!(ask(&origin, 503).starts_with("HTTP/1.1 503 "));
        assert_eq!(origin.count(), 2);
    }

    #[test]
    fn windows_begin_where_they_are_told_to() {
        let arrivals = [5, 10, 11, 19, 20, 45];
        assert_eq!(windows(&arrivals, 10, Duration::from_nanos(10)), [3, 1, 0, 1]);
    }
}
