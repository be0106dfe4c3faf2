//! A sentinel's doubt in itself: it was held up, its clock jumped, it is slow, or it is alone.

use super::Limits;
use shanty_model::id::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;

/// The wall clock may drift this much between two ticks.
const JUMP: Duration = Duration::from_millis(500);
/// Largest stretch of limits: a silence of 2 s is found by a sentinel however short of time it is, and the successor leads
/// within the 2.5 s that a stopped leader may take.
const MOST: u32 = 2;
/// A tick later than this says that the machine is short of time.
const LATE: Duration = Duration::from_millis(150);
/// Ticks in time that take one step of the multiplier back.
const RECOVERS: u32 = 50;
/// Another sentinel is reached if it was heard within this: shorter than a silence that counts.
const REACHED: Duration = Duration::from_millis(900);

/// What a sentinel thinks of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    ticked: Option<Tick>,
    tilt: Option<(Duration, String)>,
    multiplier: u32,
    in_time: u32,
    heard: BTreeMap<NodeId, Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tick {
    at: Duration,
    unix_ms: i64,
}

impl Doubt {
    pub(crate) fn new() -> Doubt {
        Doubt { ticked: None, tilt: None, multiplier: 1, in_time: 0, heard: BTreeMap::new() }
    }

    /// Time has passed; called each `every`.
    pub(crate) fn tick(&mut self, now: Duration, unix_ms: i64, every: Duration, limits: &Limits) {
        let tick = Tick { at: now, unix_ms };
        let Some(last) = self.ticked.replace(tick) else { return };
        let gap = now.saturating_sub(last.at);
        let wall = i128::from(unix_ms) - i128::from(last.unix_ms);
        let jump = (wall - i128::try_from(gap.as_millis()).unwrap_or(i128::MAX)).unsigned_abs();
        if gap > limits.held_up.max(every * 5) {
            self.tilt(now + limits.tilt_for, format!("it was held up for {:.1} s", gap.as_secs_f64()));
        } else if jump > JUMP.as_millis() {
            self.tilt(now + limits.tilt_for, format!("its clock jumped by {jump} ms"));
        }
        if self.tilt.as_ref().is_some_and(|(until, _)| now >= *until) {
            self.tilt = None;
        }
        if gap > every + LATE {
            self.multiplier = (self.multiplier + 1).min(MOST);
            self.in_time = 0;
        } else {
            self.in_time += 1;
            if self.in_time >= RECOVERS {
                self.multiplier = (self.multiplier - 1).max(1);
                self.in_time = 0;
            }
        }
    }

    /// It does not trust itself for now.
    pub(crate) fn tilt(&mut self, until: Duration, why: String) {
        self.tilt = Some((until, why));
    }

    /// Another sentinel was heard.
    pub(crate) fn heard(&mut self, now: Duration, sentinel: NodeId) {
        self.heard.insert(sentinel, now);
    }

    /// Why it does not trust itself.
    pub(crate) fn tilted(&self) -> Option<&str> {
        self.tilt.as_ref().map(|(_, why)| why.as_str())
    }

    /// What limits are multiplied by, 1 or 2.
    pub(crate) fn multiplier(&self) -> u32 {
        self.multiplier
    }

    /// Of `members`, how many were heard lately, `me` included.
    pub(crate) fn reached(&self, now: Duration, members: &[NodeId], me: &NodeId) -> usize {
        let lately =
            |node: &NodeId| self.heard.get(node).is_some_and(|at| now.saturating_sub(*at) <= REACHED);
        members.iter().filter(|node| *node == me || lately(node)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(50);

    fn run(doubt: &mut Doubt, ticks: &[(u64, i64)]) {
        for (ms, unix_ms) in ticks {
            doubt.tick(Duration::from_millis(*ms), *unix_ms, EVERY, &Limits::default());
        }
    }

    #[test]
    fn a_pause_or_a_jump_of_the_clock_tilts_for_a_while() {
        for ticks in [[(0, 0), (1_001, 1_001)], [(0, 0), (50, 700)], [(0, 9_000), (50, 0)]] {
            let mut doubt = Doubt::new();
            run(&mut doubt, &ticks);
            assert!(doubt.tilted().is_some(), "{ticks:?}");
            let (last, unix_ms) = ticks[1];
            let later: Vec<(u64, i64)> = (1..100).map(|i| (last + 50 * i, unix_ms + 50 * i as i64)).collect();
            run(&mut doubt, &later);
            assert!(doubt.tilted().is_some(), "not yet: 4.95 s");
            run(&mut doubt, &[(last + 5_000, unix_ms + 5_000)]);
            assert_eq!(doubt.tilted(), None);
        }
    }

    #[test]
    fn late_ticks_stretch_limits_and_ticks_in_time_take_it_back() {
        let mut doubt = Doubt::new();
        run(&mut doubt, &[(0, 0), (300, 300), (600, 600), (900, 900), (1_200, 1_200), (1_500, 1_500)]);
        assert_eq!(doubt.multiplier(), MOST);
        let in_time: Vec<(u64, i64)> = (1..=150).map(|i| (1_500 + 50 * i, 1_500 + 50 * i as i64)).collect();
        run(&mut doubt, &in_time);
        assert_eq!((doubt.multiplier(), doubt.tilted()), (1, None));
    }

    #[test]
    fn it_reaches_itself_and_those_heard_lately() {
        let members: Vec<NodeId> = ["s1", "s2", "s3"].map(|name| name.parse().unwrap()).into();
        let mut doubt = Doubt::new();
        assert_eq!(doubt.reached(Duration::ZERO, &members, &members[0]), 1);
        doubt.heard(Duration::from_secs(1), members[2].clone());
        assert_eq!(doubt.reached(Duration::from_millis(1_900), &members, &members[0]), 2);
        assert_eq!(doubt.reached(Duration::from_millis(1_901), &members, &members[0]), 1);
    }
}
