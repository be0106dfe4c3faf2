//! When the kernel had a request, whatever kept this process from reading it.
//!
//! With SO_TIMESTAMPNS the kernel stamps each packet as it enters the machine: on the loopback within the
//! sender's own call, so the stamps are those of the wire. The bytes of one read have one stamp, that of their
//! last packet.
//! In: sockets that were accepted from a listener that asked. Out: bytes and the instant of CLOCK_MONOTONIC,
//! nanoseconds, at which they came.
//! Never: guesses: what has no stamp is read without one. Tests: in the room's door.

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns, sockopt::TcpNoDelay,
};
use nix::sys::time::TimeSpec;
use shanty_rt::clock::{monotonic_ns, unix_ns};
use std::io::{Error, IoSliceMut, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// The kernel begins to stamp a little after it was asked first.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than two readings of the clocks differ by.
const CLOCKS_AGREE_NS: u64 = 20_000;

/// Reads bytes and their stamps.
pub(super) struct Wire {
    control: Vec<u8>,
    /// The wall clock, in which the kernel stamps, minus CLOCK_MONOTONIC.
    ahead_ns: i64,
}

impl Wire {
    /// Asks for stamps on all that `listener` will accept, and waits until the kernel makes them.
    ///
    /// # Errors
    /// The system's; and when no stamp is made in time.
    pub(super) fn of(listener: &TcpListener) -> Result<Wire> {
        setsockopt(listener, ReceiveTimestampns, &true)?;
        let mut wire = Wire { control: nix::cmsg_space!(TimeSpec), ahead_ns: ahead_ns() };
        wire.await_the_first()?;
        Ok(wire)
    }

    /// Reads what there is: how much, and when its last packet came.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn read(&mut self, socket: &impl AsRawFd, buffer: &mut [u8]) -> Result<(usize, Option<u64>)> {
        let socket: RawFd = socket.as_raw_fd();
        let (mut parts, ahead_ns) = ([IoSliceMut::new(buffer)], self.ahead_ns);
        let read = recvmsg::<()>(socket, &mut parts, Some(&mut self.control), MsgFlags::empty())?;
        let stamp = read.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(at) => monotonic(Duration::from(at), ahead_ns),
            _ => None,
        });
        Ok((read.bytes, stamp))
    }

    /// Whether the wall clock was set since the beginning: then the stamps cannot be compared with anything.
    pub(super) fn is_broken(&self) -> bool {
        ahead_ns().abs_diff(self.ahead_ns) > CLOCKS_AGREE_NS
    }

    fn await_the_first(&mut self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        setsockopt(&listener, ReceiveTimestampns, &true)?;
        let mut sender = TcpStream::connect(listener.local_addr()?)?;
        setsockopt(&sender, TcpNoDelay, &true)?;
        let (receiver, _) = listener.accept()?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            sender.write_all(&[0])?;
            if let (1, Some(_)) = self.read(&receiver, &mut [0])? {
                return Ok(());
            }
        }
        Err(Error::other("the kernel stamps no packets of the loopback; measure without its stamps"))
    }
}

/// An instant of the wall clock on CLOCK_MONOTONIC, nanoseconds.
fn monotonic(unix: Duration, ahead_ns: i64) -> Option<u64> {
    u64::try_from(i64::try_from(unix.as_nanos()).ok()? - ahead_ns).ok()
}

/// The wall clock minus CLOCK_MONOTONIC: of several readings the one that was least disturbed.
fn ahead_ns() -> i64 {
    let read = |_| {
        let before = monotonic_ns();
        let unix = unix_ns();
        let after = monotonic_ns();
        let middle = i64::try_from(before.midpoint(after)).unwrap_or(i64::MAX);
        (after - before, unix.saturating_sub(middle))
    };
    (0..32).map(read).min().map_or(0, |(_, ahead)| ahead)
}
