//! From a load thread to control.
//!
//! In: what a thread counted, adopted, or met. Out: [`Message`]s. Never: waits for control, but with the last words.
//! Tests: `worker/tests`.

use super::recorder::Handover;
use std::time::Duration;
use tokio::sync::mpsc;

/// What a thread tells control.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a second is moved; a box would be an allocation on a load thread"
)]
pub(super) enum Message {
    /// What it counted up to the end of a second, or to its own end.
    Counted { thread: usize, second: u32, covered_ns: u64, is_last: bool, handover: Handover },
    /// A plan is in force or will be at its instant.
    Adopted { thread: usize, revision: u32 },
    /// It stood still; its last handover came before.
    Paused(Duration),
    /// It panicked.
    Died(usize),
}

/// Tells control when the thread panics.
#[derive(Debug)]
pub(super) struct Alarm(mpsc::Sender<Message>, usize);

impl Alarm {
    /// For the thread of this number.
    pub(super) fn new(control: mpsc::Sender<Message>, thread: usize) -> Alarm {
        Alarm(control, thread)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.blocking_send(Message::Died(self.1));
        }
    }
}
