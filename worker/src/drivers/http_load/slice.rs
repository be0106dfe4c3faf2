//! Short slices of the processor: a thread that asks for them runs as soon as it wakes.
//!
//! Linux lets whoever runs come to the end of its slice, 1 to 3 ms, before one that wakes up and asked for as long a one.
//! Since 6.12 a thread may say how long its slices shall be, and a shorter one comes first; its share of the processor
//! stays what it is, and no privilege is needed. Older kernels take the word and do nothing.
//! Source: `sched_attr::sched_runtime` of SCHED_OTHER, kernel commit 857b158dc5e8; sched_setattr(2).
//!
//! In: nothing. Out: the calling thread's scheduling, changed in this alone. Never: another priority or policy.
//! Tests: below; what it is worth, in docs/FAULTS.md.
#![expect(unsafe_code, reason = "no crate wraps these two system calls for SCHED_OTHER")]

use std::io;

/// The shortest slice there is: a load thread works for some 5 to 50 µs at a time.
const SLICE_NS: u64 = 100_000;

/// The calling thread asks for short slices. One that is scheduled in real time needs none.
///
/// # Errors
/// The system's; the thread is scheduled as before then.
pub(super) fn ask_for_short_slices() -> io::Result<()> {
    let mut attributes = read()?;
    if !matches!(i32::try_from(attributes.sched_policy), Ok(libc::SCHED_OTHER | libc::SCHED_BATCH)) {
        return Ok(());
    }
    attributes.sched_runtime = SLICE_NS;
    // SAFETY: the kernel reads `size` bytes of a structure that is whole and lives through the call; 0 is this thread.
    answer(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })
}

/// How the calling thread is scheduled.
fn read() -> io::Result<libc::sched_attr> {
    let size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(u32::MAX);
    let mut attributes = libc::sched_attr {
        size,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most `size` bytes to a structure of that size; 0 is this thread.
    answer(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    Ok(attributes)
}

fn answer(returned: libc::c_long) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_become_short_and_all_else_stays() {
        let seen = std::thread::spawn(|| {
            let before = read()?;
            ask_for_short_slices()?;
            Ok::<_, io::Error>((before, read()?))
        });
        let (before, after) = seen.join().unwrap().unwrap();
        let rest = |a: &libc::sched_attr| (a.sched_policy, a.sched_flags, a.sched_nice, a.sched_priority);
        assert_eq!(rest(&before), rest(&after));
        // A kernel that does not know of them shows none.
        let expected = if before.sched_runtime == 0 { 0 } else { SLICE_NS };
        assert_eq!(after.sched_runtime, expected);
    }
}
