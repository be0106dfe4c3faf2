//! The fast engine allocates nothing per request: counted by an allocator of this test's own.
//!
//! Only the load threads are counted, by name. They may allocate while they warm up; after that, seconds with
//! thousands of requests must come and go without an allocation.
#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; it only counts and passes on"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{closed, driver, eventually, open, plan, start};

struct Counting;

static OF_LOAD_THREADS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is a load thread; none before it was asked, and while it is being asked.
    static IS_LOAD: Cell<Option<bool>> = const { Cell::new(None) };
}

fn count() {
    let _ = IS_LOAD.try_with(|is_load| {
        let counted = is_load.get().unwrap_or_else(|| {
            // Asking for the name may allocate, which must not ask again.
            is_load.set(Some(false));
            let found =
                std::fs::read_to_string("/proc/thread-self/comm").is_ok_and(|name| name.starts_with("load-"));
            is_load.set(Some(found));
            found
        });
        if counted {
            OF_LOAD_THREADS.fetch_add(1, Ordering::SeqCst);
        }
    });
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A target whose threads have other names.
fn server() -> support::Server {
    support::Server::start(|_, _| support::Reply::Bytes(support::answer(200, "hello")))
}

/// Allocations of load threads, and requests, between the second and the fourth second of `spec`.
fn measured(spec: &shanty_model::kind::http_load::Spec) -> (u64, u64) {
    let running = start(&driver(2), spec, &plan(spec, &[1]).directive(0));
    let sent = |running: &support::Running| support::sum(&running.port).sent;
    running.until("a second has passed", |r| r.now_ns() > 1_500_000_000);
    assert!(OF_LOAD_THREADS.load(Ordering::SeqCst) > 0, "the allocator does not know the load threads");
    let (allocations, before) = (OF_LOAD_THREADS.load(Ordering::SeqCst), sent(&running));
    eventually("two more seconds were told", || running.now_ns() > 3_600_000_000);
    let after = sent(&running);
    let allocated = OF_LOAD_THREADS.load(Ordering::SeqCst) - allocations;
    running.end().0.unwrap();
    (allocated, after - before)
}

/// Handing over a second sends two messages per thread at most, and each 32 messages of a channel may cost a block.
const FOR_HANDOVERS: u64 = 4;

#[test]
fn no_request_costs_an_allocation_in_an_open_and_a_closed_loop() {
    let server = server();
    let (allocated, requests) = measured(&open(&server, 2_000.0, Duration::from_secs(4)));
    assert!(requests > 3_000, "{requests}");
    assert!(allocated <= FOR_HANDOVERS, "open loop: {allocated} allocations for {requests} requests");
    let (allocated, requests) = measured(&closed(&server, 8, Duration::from_secs(4)));
    assert!(requests > 3_000, "{requests}");
    assert!(allocated <= FOR_HANDOVERS, "closed loop: {allocated} allocations for {requests} requests");
}
