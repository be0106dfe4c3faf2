//! A measuring target: one thread, epoll, a fixed answer, and the instant at which each request was read.
//!
//! It is made to disturb as little as it can what it measures: stamps go into memory that was touched before,
//! and a request costs one read and one write. (`origin` is the convenient one, with a thread per connection.)
//! A thread that is held up reads late what came in time; so the kernel can be asked as well ([`Stamps::wire`]).
//! In: connections on a loopback port. Out: [`Stamps`].
//! Never: loses a request silently: beyond its capacity it counts without a stamp.
//! Tests: below.

mod serve;
mod wire;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How a target answers.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of the answer's body.
    pub body_bytes: usize,
    /// Each answer goes out this much after its request.
    pub delay: Duration,
    /// The whole target stands still for `.1` at the end of every `.0`; zero for never.
    pub stall: (Duration, Duration),
    /// Stamps kept.
    pub capacity: usize,
    /// Whether the kernel is asked when each request came. It costs this thread and the sender a little.
    pub kernel_stamps: bool,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            body_bytes: 13,
            delay: Duration::ZERO,
            stall: (Duration::ZERO, Duration::ZERO),
            capacity: 1 << 20,
            kernel_stamps: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// When the requests came, as two clocks say: instants of CLOCK_MONOTONIC, nanoseconds, in the order of reading.
#[derive(Debug, Default)]
pub struct Stamps {
    /// When the target's thread had read each.
    pub read: Vec<u64>,
    /// When the kernel had each, in the same order; fewer when it was not asked or made no stamp.
    pub wire: Vec<u64>,
    /// The wall clock was set meanwhile, so `wire` cannot be trusted.
    pub clock_was_set: bool,
}

impl Stamps {
    fn push(&mut self, read: u64, wire: Option<u64>) {
        if self.read.len() < self.read.capacity() {
            self.read.push(read);
            self.wire.extend(wire);
        }
    }
}

/// A target. Ends when it is dropped.
#[derive(Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    count: Arc<AtomicU64>,
    stop: OwnedFd,
    thread: Option<JoinHandle<Stamps>>,
}

impl Target {
    /// Starts one.
    ///
    /// # Errors
    /// The system's.
    pub fn start(options: Options) -> std::io::Result<Target> {
        let listener = TcpListener::bind(options.listen)?;
        // Longer than std's: a connection refused by a full queue would be tried again a second later.
        rustix::net::listen(&listener, BACKLOG)?;
        let address = listener.local_addr()?;
        let count = Arc::new(AtomicU64::new(0));
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let server = serve::Server::new(listener, options, count.clone(), &stop)?;
        let thread = std::thread::Builder::new().name("target".to_owned()).spawn(move || server.run())?;
        Ok(Target { address, count, stop, thread: Some(thread) })
    }

    /// Its url.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Requests read so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends it and answers when the requests were read.
    #[must_use]
    pub fn finish(mut self) -> Stamps {
        self.end().unwrap_or_default()
    }

    fn end(&mut self) -> Option<Stamps> {
        let thread = self.thread.take()?;
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        thread.join().ok()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::clock::monotonic_ns;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Instant;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn each_request_is_stamped_and_answered_also_in_pieces_and_together() {
        let target = Target::start(Options { body_bytes: 3, ..Options::default() }).unwrap();
        let mut stream = TcpStream::connect(target.address).unwrap();
        stream.write_all(REQUEST).unwrap();
        stream.write_all(&REQUEST[..20]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        stream.write_all(&[&REQUEST[20..], REQUEST].concat()).unwrap();
        let mut answers = vec![0; 3 * (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".len() + 3)];
        stream.read_exact(&mut answers).unwrap();
        assert!(answers.starts_with(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"));
        assert_eq!(target.count(), 3);
        let stamps = target.finish().read;
        assert_eq!(stamps.len(), 3);
        assert!(stamps[1] - stamps[0] >= 15_000_000, "the second came whole 20 ms later");
    }

    #[test]
    fn a_delay_holds_answers_back_and_not_the_stamps() {
        let target =
            Target::start(Options { delay: Duration::from_millis(60), ..Options::default() }).unwrap();
        let mut stream = TcpStream::connect(target.address).unwrap();
        let asked = Instant::now();
        stream.write_all(REQUEST).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert!(asked.elapsed() >= Duration::from_millis(60));
        assert_eq!(target.finish().read.len(), 1);
    }

    /// Two requests, 5 ms apart, to a target that sleeps: between which instants each was sent, and its stamps.
    /// None if this thread was held up until it slept no more, or the target's while it read.
    fn while_it_sleeps() -> Option<([(u64, u64); 2], Stamps)> {
        let pause = Duration::from_millis(50);
        let stall = (pause + Duration::from_millis(1), pause);
        let target = Target::start(Options { stall, kernel_stamps: true, ..Options::default() }).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        // The first connection wakes it, and it goes to sleep before it looks what there is.
        let mut streams = [(), ()].map(|()| TcpStream::connect(target.address).unwrap());
        let mut sent = [(0, 0); 2];
        for (stream, sent) in streams.iter_mut().zip(&mut sent) {
            sent.0 = monotonic_ns();
            stream.write_all(REQUEST).unwrap();
            sent.1 = monotonic_ns();
            std::thread::sleep(Duration::from_millis(5));
        }
        let slept = target.count() == 0;
        eventually(|| target.count() == 2);
        let stamps = target.finish();
        let together = stamps.read[1] - stamps.read[0] < 1_000_000;
        (slept && together).then_some((sent, stamps))
    }

    fn eventually(holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(10), "not in time");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_kernel_tells_when_requests_came_to_a_target_that_slept_and_read_them_together() {
        let (sent, stamps) = (0..50).find_map(|_| while_it_sleeps()).expect("a quiet moment within 50 tries");
        let Stamps { read, wire, clock_was_set } = stamps;
        assert_eq!((read.len(), wire.len(), clock_was_set), (2, 2, false));
        assert!(read.iter().all(|at| *at > sent[1].1), "read after both were sent: {read:?}, {sent:?}");
        assert!(wire[1] - wire[0] >= 5_000_000, "{wire:?}");
        for ((before, after), at) in sent.into_iter().zip(wire) {
            // Two clocks are compared, which are read one after the other.
            assert!((before - 10_000..after + 10_000).contains(&at), "{at} is not in {before}..{after}");
        }
    }
}
