//! Requests on sockets: dialling, writing, reading, and how each of them ends.
//!
//! ```text
//!   dial ─► Connecting ─► write ─► read ─┬─► Ready: the connection can take another request
//!   begin ────────────────┘              └─► closed
//! ```
//! Every request that begins is counted as sent, and ends exactly once: completed, or with an error class.
//! In: intended starts, events. Out: [`Ready`] connections; counts and times to the recorder.
//! Never: waits; decides when to send.
//! Tests: `worker/tests`.

use super::connection::Phase;
use super::head::Heads;
use super::poller::Poller;
use super::pool::Pool;
use super::recorder::{Completed, Recorder};
use super::setup::Setup;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, socket_error};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use shanty_model::kind::http_load::ErrorClass;
use std::net::SocketAddr;
use std::sync::Arc;

/// One read takes this much; most answers are whole with the first.
const READ_BYTES: usize = 64 * 1024;
/// After a connection that could not be made, a closed loop waits this long before it tries again.
const REDIAL_NS: u64 = 100_000_000;

/// A connection whose request has ended and that may be used again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) slot: u32,
    /// When its request ended, nanoseconds since the run's start.
    pub(super) now_ns: u64,
}

/// The requests of one thread.
#[derive(Debug)]
pub(super) struct Exchange {
    setup: Arc<Setup>,
    pub(super) poller: Poller,
    pub(super) pool: Pool,
    pub(super) recorder: Recorder,
    heads: Heads,
    buffer: Box<[u8]>,
    /// The address that took a connection last.
    preferred: usize,
    /// A closed loop dials from this instant on.
    pub(super) redial_ns: u64,
}

/// The socket cannot deliver more than it has, or has an end or an error to tell.
fn readable(flags: EventFlags) -> bool {
    flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
}

fn ended(flags: EventFlags) -> bool {
    flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
}

fn connect_class(error: Errno) -> ErrorClass {
    match error {
        Errno::CONNREFUSED => ErrorClass::ConnectRefused,
        Errno::TIMEDOUT => ErrorClass::ConnectTimeout,
        Errno::ADDRNOTAVAIL | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
            ErrorClass::LocalExhausted
        }
        _ => ErrorClass::ConnectFailed,
    }
}

fn stream_class(error: Errno) -> ErrorClass {
    match error {
        Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH => ErrorClass::Timeout,
        Errno::NOBUFS | Errno::NOMEM => ErrorClass::LocalExhausted,
        _ => ErrorClass::Reset,
    }
}

impl Exchange {
    /// With room for `connections`.
    pub(super) fn new(setup: Arc<Setup>, poller: Poller, connections: u32) -> Exchange {
        Exchange {
            poller,
            pool: Pool::new(connections),
            recorder: Recorder::new(setup.warm_up_ns),
            heads: Heads::new(setup.bodiless),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            preferred: 0,
            redial_ns: 0,
            setup,
        }
    }

    /// Sends a request on a connection that is ready or was idle.
    #[inline]
    pub(super) fn begin(&mut self, slot: u32, intended_ns: u64, now_ns: u64) {
        self.attach(slot, Phase::Sending, intended_ns, now_ns);
        self.write(slot);
    }

    /// Makes a connection for a request. Without a free slot, which the caller sees to, it does nothing.
    pub(super) fn dial(&mut self, intended_ns: u64, now_ns: u64) {
        let Some(slot) = self.pool.take_free() else { return };
        self.attach(slot, Phase::Connecting, intended_ns, now_ns);
        self.connect(slot, ErrorClass::ConnectFailed);
    }

    #[inline]
    fn attach(&mut self, slot: u32, phase: Phase, intended_ns: u64, now_ns: u64) {
        let connection = self.pool.get(slot);
        connection.phase = phase;
        connection.intended_ns = intended_ns;
        connection.sent_ns = now_ns;
        connection.written = 0;
        connection.tried = 0;
        connection.decoder.begin();
        self.pool.link(slot);
        self.recorder.sent(intended_ns);
    }

    /// Deals with what happened on a socket.
    #[inline]
    pub(super) fn on_event(&mut self, token: u64, flags: EventFlags) -> Option<Ready> {
        let slot = self.pool.slot_of(token)?;
        match self.pool.get(slot).phase {
            Phase::Waiting if readable(flags) => self.read(slot, flags),
            Phase::Idle if readable(flags) => {
                self.look_at_idle(slot, flags);
                None
            }
            Phase::Connecting => {
                self.connected(slot);
                let is_waiting = self.pool.get(slot).phase == Phase::Waiting;
                if is_waiting && flags.contains(EventFlags::IN) { self.read(slot, flags) } else { None }
            }
            Phase::Sending => {
                if flags.contains(EventFlags::OUT) {
                    self.write(slot);
                }
                let goes_on = matches!(self.pool.get(slot).phase, Phase::Sending | Phase::Waiting);
                if goes_on && readable(flags) { self.read(slot, flags) } else { None }
            }
            Phase::Waiting | Phase::Idle | Phase::Free => None,
        }
    }

    /// Ends the requests whose time is up.
    #[inline]
    pub(super) fn expire(&mut self, now_ns: u64) {
        while let Some((slot, intended_ns)) = self.pool.oldest()
            && intended_ns.saturating_add(self.setup.timeout_ns) <= now_ns
        {
            let class = match self.pool.get(slot).phase {
                Phase::Connecting => ErrorClass::ConnectTimeout,
                Phase::Sending | Phase::Waiting | Phase::Idle | Phase::Free => ErrorClass::Timeout,
            };
            self.fail(slot, class);
        }
    }

    /// Ends all requests in flight, since the run was stopped.
    pub(super) fn abandon(&mut self) {
        while let Some((slot, _)) = self.pool.oldest() {
            self.fail(slot, ErrorClass::Stopped);
        }
    }

    fn connect(&mut self, slot: u32, so_far: ErrorClass) {
        let mut class = so_far;
        loop {
            let tried = self.pool.get(slot).tried;
            let tried = usize::try_from(tried).unwrap_or(usize::MAX);
            let all = self.setup.addresses.len();
            if tried >= all {
                self.fail(slot, class);
                return;
            }
            let address = self.setup.addresses[(self.preferred + tried) % all];
            match self.open(slot, address) {
                Ok(()) => return,
                Err(reason) => {
                    class = reason;
                    self.pool.get(slot).tried += 1;
                }
            }
        }
    }

    fn open(&mut self, slot: u32, address: SocketAddr) -> Result<(), ErrorClass> {
        let allowed = self.setup.policy.permits(&self.setup.host, address.ip());
        allowed.map_err(|_| ErrorClass::TargetDenied)?;
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(connect_class)?;
        set_tcp_nodelay(&socket, true).map_err(connect_class)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(connect_class(error)),
        }
        self.poller.watch(&socket, self.pool.token(slot)).map_err(connect_class)?;
        self.pool.get(slot).socket = Some(socket);
        Ok(())
    }

    fn connected(&mut self, slot: u32) {
        let now_ns = self.setup.now_ns();
        let connection = self.pool.get(slot);
        let Some(socket) = &connection.socket else { return };
        match socket_error(socket).and_then(|outcome| outcome) {
            Ok(()) => {
                let tried = usize::try_from(connection.tried).unwrap_or(0);
                connection.phase = Phase::Sending;
                connection.sent_ns = now_ns;
                self.preferred = (self.preferred + tried) % self.setup.addresses.len();
                self.write(slot);
            }
            Err(error) => {
                connection.socket = None;
                connection.tried += 1;
                self.connect(slot, connect_class(error));
            }
        }
    }

    #[inline]
    fn write(&mut self, slot: u32) {
        let connection = self.pool.get(slot);
        let Some(socket) = &connection.socket else { return };
        loop {
            match send(socket, &self.setup.request[connection.written..], SendFlags::NOSIGNAL) {
                Ok(count) => {
                    connection.written += count;
                    self.recorder.bytes(connection.intended_ns, count, 0);
                    if connection.written == self.setup.request.len() {
                        connection.phase = Phase::Waiting;
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                // Room for more is told by the poller, which watches for it all the time.
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    self.fail(slot, stream_class(error));
                    return;
                }
            }
        }
    }

    #[inline]
    fn read(&mut self, slot: u32, flags: EventFlags) -> Option<Ready> {
        loop {
            let connection = self.pool.get(slot);
            let socket = connection.socket.as_ref()?;
            let count = match recv(socket, &mut *self.buffer, RecvFlags::empty()) {
                Ok((0, _)) => return self.end_of_stream(slot),
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return None,
                Err(error) => {
                    self.fail(slot, stream_class(error));
                    return None;
                }
            };
            let now_ns = self.setup.now_ns();
            self.recorder.bytes(connection.intended_ns, 0, count);
            match connection.decoder.feed(&self.buffer[..count], &mut self.heads) {
                Ok(fed) if fed.done && fed.used == count => return self.complete(slot, flags, now_ns),
                // Bytes after the answer: nobody asked for them.
                Ok(fed) if fed.done => {
                    self.fail(slot, ErrorClass::Malformed);
                    return None;
                }
                // A short read has emptied the socket, unless its end is to be read.
                Ok(_) if count < self.buffer.len() && !ended(flags) => return None,
                Ok(_) => {}
                Err(class) => {
                    self.fail(slot, class);
                    return None;
                }
            }
        }
    }

    #[cold]
    fn end_of_stream(&mut self, slot: u32) -> Option<Ready> {
        let now_ns = self.setup.now_ns();
        match self.pool.get(slot).decoder.end(&mut self.heads) {
            Ok(()) => self.complete(slot, EventFlags::RDHUP, now_ns),
            Err(class) => {
                self.fail(slot, class);
                None
            }
        }
    }

    #[inline]
    fn complete(&mut self, slot: u32, flags: EventFlags, now_ns: u64) -> Option<Ready> {
        let connection = self.pool.get(slot);
        let request = Completed {
            intended_ns: connection.intended_ns,
            sent_ns: connection.sent_ns,
            ended_ns: now_ns,
            status: connection.decoder.status(),
        };
        // An answer that came before the request was written leaves the rest of it on the wire.
        let is_written = connection.phase == Phase::Waiting;
        let keep = self.setup.keep_alive && connection.decoder.keep() && is_written && !ended(flags);
        self.pool.unlink(slot);
        self.recorder.completed(request);
        if keep {
            return Some(Ready { slot, now_ns });
        }
        self.pool.close(slot);
        None
    }

    #[cold]
    fn fail(&mut self, slot: u32, class: ErrorClass) {
        let connection = self.pool.get(slot);
        let intended_ns = connection.intended_ns;
        if connection.phase == Phase::Connecting {
            self.redial_ns = self.setup.now_ns() + REDIAL_NS;
        }
        self.pool.unlink(slot);
        self.pool.close(slot);
        self.recorder.failed(intended_ns, class);
    }

    /// An idle connection has an end, an error, or bytes that nobody asked for: all of which end it. What
    /// was told may also have been read already, then it stays.
    #[cold]
    fn look_at_idle(&mut self, slot: u32, flags: EventFlags) {
        let connection = self.pool.get(slot);
        let Some(socket) = &connection.socket else { return };
        let nothing =
            matches!(recv(socket, &mut *self.buffer, RecvFlags::empty()), Err(Errno::AGAIN | Errno::INTR));
        if !nothing || ended(flags) {
            self.pool.close(slot);
        }
    }
}
