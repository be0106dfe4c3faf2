//! A test that cannot run here says so where everybody sees it, or fails where it must run.
//!
//! In: what is missing. Out: a line on standard error that the test runner does not hold back.
//! Never: hides a missing service under `tests/run`, which sets `SHANTY_REQUIRE_SERVICES=1`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Says that a test is skipped for want of `what`, with the next step.
///
/// # Panics
/// When `SHANTY_REQUIRE_SERVICES` is set: then nothing may be skipped.
pub fn skipped(what: &str, next_step: &str) {
    assert!(
        std::env::var_os("SHANTY_REQUIRE_SERVICES").is_none(),
        "{what}, and SHANTY_REQUIRE_SERVICES is set ({next_step})"
    );
    left_out(what, next_step);
}

/// Says that a test is left out on purpose; `tests/run` leaves it out too where it must.
pub fn left_out(what: &str, next_step: &str) {
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("skipped: {what} ({next_step}); {count} skipped in this test program\n");
    // Standard error itself: the macros are captured by the test runner.
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// A program on PATH or where Debian puts servers; says that the test is skipped when there is none.
#[must_use]
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skipped(&format!("no {name} on PATH"), &format!("apt-get install {package}"));
    }
    found
}
