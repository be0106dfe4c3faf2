//! The target's loop.
//!
//! In: sockets. Out: answers, stamps. Tests: in the room's door.

use super::wire::Wire;
use super::{Options, Stamps};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use shanty_rt::clock::monotonic_ns;
use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
const END: &[u8] = b"\r\n\r\n";

struct Connection {
    socket: OwnedFd,
    /// Bytes of a request's end that the last read ended with.
    matched: usize,
}

pub(super) struct Server {
    listener: TcpListener,
    options: Options,
    epoll: OwnedFd,
    count: Arc<AtomicU64>,
    connections: HashMap<u64, Connection>,
    answer: Vec<u8>,
    /// The request that came last, if it came alone: others are compared with it.
    usual: Vec<u8>,
    buffer: Vec<u8>,
    stamps: Stamps,
    /// When the kernel is asked for stamps.
    wire: Option<Wire>,
    /// Answers that wait: when, to whom.
    held: VecDeque<(u64, u64)>,
    stalled_ns: u64,
}

impl Server {
    pub(super) fn new(
        listener: TcpListener,
        options: Options,
        count: Arc<AtomicU64>,
        stop: &OwnedFd,
    ) -> std::io::Result<Server> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, stop, EventData::new_u64(STOP), EventFlags::IN)?;
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", options.body_bytes).into_bytes();
        answer.resize(answer.len() + options.body_bytes, b'x');
        // Filled once, so that no page is touched for the first time while it measures.
        let touched = |capacity| {
            let mut stamps = vec![1; capacity];
            stamps.clear();
            stamps
        };
        let wire = options.kernel_stamps.then(|| Wire::of(&listener)).transpose()?;
        let stamps = Stamps {
            read: touched(options.capacity),
            wire: touched(if wire.is_some() { options.capacity } else { 0 }),
            clock_was_set: false,
        };
        Ok(Server {
            listener,
            options,
            epoll,
            count,
            connections: HashMap::new(),
            answer,
            usual: Vec::new(),
            buffer: vec![0; 65_536],
            stamps,
            wire,
            held: VecDeque::new(),
            stalled_ns: monotonic_ns(),
        })
    }

    pub(super) fn run(mut self) -> Stamps {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        loop {
            events.clear();
            let timeout = self.timeout();
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref());
            self.stand_still();
            for event in &events {
                let data = event.data;
                match data.u64() {
                    STOP => {
                        self.stamps.clock_was_set = self.wire.is_some_and(|wire| wire.is_broken());
                        return self.stamps;
                    }
                    LISTENER => self.accept(),
                    token => {
                        if !self.read(token) {
                            self.connections.remove(&token);
                        }
                    }
                }
            }
            self.release();
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        let (due, _) = self.held.front()?;
        let left = due.saturating_sub(monotonic_ns());
        Some(Timespec { tv_sec: 0, tv_nsec: i64::try_from(left.min(999_999_999)).unwrap_or(0) })
    }

    fn stand_still(&mut self) {
        let (period, pause) = self.options.stall;
        let run = u64::try_from(period.saturating_sub(pause).as_nanos()).unwrap_or(u64::MAX);
        if !pause.is_zero() && monotonic_ns() - self.stalled_ns >= run {
            std::thread::sleep(pause);
            self.stalled_ns += u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        }
    }

    fn accept(&mut self) {
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
            let token = u64::try_from(socket.as_raw_fd()).unwrap_or(0);
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            if epoll::add(&self.epoll, &socket, EventData::new_u64(token), flags).is_ok() {
                self.connections.insert(token, Connection { socket, matched: 0 });
            }
        }
    }

    /// Reads what there is; false when the connection is over.
    fn read(&mut self, token: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&token) else { return true };
        loop {
            let received = match &mut self.wire {
                Some(wire) => wire.read(&connection.socket, &mut self.buffer),
                None => recv(&connection.socket, &mut *self.buffer, RecvFlags::empty())
                    .map(|(count, _)| (count, None))
                    .map_err(std::io::Error::from),
            };
            let (count, came) = match received {
                Ok((0, _)) => return false,
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            let now = monotonic_ns();
            let bytes = &self.buffer[..count];
            let requests = if connection.matched == 0 && bytes == self.usual {
                1
            } else {
                let found = ends(bytes, &mut connection.matched);
                if found == 1 && connection.matched == 0 {
                    self.usual = bytes.to_vec();
                }
                found
            };
            self.count.fetch_add(requests, Ordering::Relaxed);
            for _ in 0..requests {
                self.stamps.push(now, came);
                if self.options.delay.is_zero() {
                    if send(&connection.socket, &self.answer, SendFlags::NOSIGNAL) != Ok(self.answer.len()) {
                        return false;
                    }
                } else {
                    let delay = u64::try_from(self.options.delay.as_nanos()).unwrap_or(u64::MAX);
                    self.held.push_back((now + delay, token));
                }
            }
            if count < self.buffer.len() {
                return true;
            }
        }
    }

    /// Sends the answers that were held back long enough.
    fn release(&mut self) {
        let now = monotonic_ns() + u64::try_from(Duration::from_micros(20).as_nanos()).unwrap_or(0);
        while let Some((due, token)) = self.held.front().copied() {
            if due > now {
                return;
            }
            self.held.pop_front();
            if let Some(connection) = self.connections.get(&token) {
                let _ = send(&connection.socket, &self.answer, SendFlags::NOSIGNAL);
            }
        }
    }
}

/// How many requests end in `bytes`; `matched` is how much of an end came before and is left at the end.
fn ends(bytes: &[u8], matched: &mut usize) -> u64 {
    let mut found = 0;
    for byte in bytes {
        *matched = if *byte == END[*matched] { *matched + 1 } else { usize::from(*byte == b'\r') };
        if *matched == END.len() {
            found += 1;
            *matched = 0;
        }
    }
    found
}
