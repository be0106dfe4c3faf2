//! Evidence: what was seen of each master, and whether that is reason to end a term; what was seen at workers' doors, and
//! whether they are dead. Pure.
//!
//! ```text
//!  signs of a master ──► Record ──► Finding (hard, silent, grey) ─┐
//!  own ticks, own clock ──► Doubt (TILT, multiplier) ─────────────┼──► a vote, or none
//!  other sentinels, other masters ──► Doubt (lonely) ─────────────┤
//!  what workers say ──► Witnesses (proof of life, complaints) ────┘
//! ```
//! | class | what was seen | limit |
//! |---|---|---|
//! | HARD | the process is gone: connections are refused, or another one answers in its place | twice, 100 ms apart |
//! | SILENT | no answer: stopped, cut off, or its runtime hangs | 1 s, times the multiplier |
//! | GREY | it answers, but its dispatch, store, disk or door does not work, or its workers have lost it | 3 s |
//!
//! Evidence is against the process that took the leader key, and none of it is older than the key.
//!
//! In: signs with the time of their arrival. Out: findings in words. Never: reads a clock, does I/O.
//! Source of the limits: the failure detectors of Redis Sentinel (TILT) and Lifeguard (local health multiplier,
//! Dadgar et al., 2017).
//! Tests: below each file; together in `sentinel/src/brain_test.rs`.

mod door;
mod doubt;
mod record;

pub(crate) use door::{Door, Doors, Glance};
pub(crate) use doubt::Doubt;
pub(crate) use record::{Class, Finding, Record, complaint};
pub use record::{Health, Sign, Witnesses};

use std::time::Duration;

/// How much of what is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Between two answers of a master.
    pub probe_every: Duration,
    /// Two refusals this far apart are no accident.
    pub refused_for: Duration,
    /// A master is silent after this.
    pub silent_for: Duration,
    /// It is grey after this.
    pub grey_for: Duration,
    /// Most of the workers say for so long that they have not heard it: what they have not heard for is long enough already.
    pub complained_for: Duration,
    /// A leader is not ended on grey evidence before it led for this long; doubled by each term that ended so lately.
    pub grey_tenure: Duration,
    /// A sentinel that was held up for this long doubts itself.
    pub held_up: Duration,
    /// And does so for this long.
    pub tilt_for: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let ms = Duration::from_millis;
        Limits {
            probe_every: ms(250),
            refused_for: ms(100),
            silent_for: ms(1000),
            grey_for: ms(3000),
            complained_for: ms(500),
            grey_tenure: ms(30_000),
            held_up: ms(1000),
            tilt_for: ms(5000),
        }
    }
}
