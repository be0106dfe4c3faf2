//! The schedule: how many arrivals are expected by each instant, and the inverse.
//!
//! `C(t)`, the expected count at `t`, is the integral of the rate. It is kept in units of 10⁻¹² arrivals
//! (milli-arrivals per second × nanoseconds), so that every sum is a whole number. A change of rate only
//! changes the slope from its instant on: `C` is continuous, and so no arrival is sent twice or skipped.
//! Tests: below.

use serde::{Deserialize, Serialize};

/// Units of `C` per arrival: milli-arrivals/s × ns = 10⁻³ × 10⁻⁹.
pub const UNIT: u128 = 1_000_000_000_000;

/// An expected count: whole arrivals and a part of one in units of 10⁻¹².
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Count {
    /// Whole arrivals.
    pub whole: u64,
    /// Part of an arrival, 0 to 10¹² − 1.
    pub part: u64,
}

impl Count {
    fn from_units(units: u128) -> Count {
        Count {
            whole: u64::try_from(units / UNIT).unwrap_or(u64::MAX),
            part: u64::try_from(units % UNIT).unwrap_or(0),
        }
    }

    fn units(self) -> u128 {
        u128::from(self.whole) * UNIT + u128::from(self.part)
    }
}

/// How the rate goes within one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pitch {
    /// The same all the time.
    Constant {
        /// Milli-arrivals per second.
        rate_milli: u64,
    },
    /// A straight line.
    Ramp {
        /// Milli-arrivals per second at the beginning.
        from_milli: u64,
        /// Milli-arrivals per second at the end.
        to_milli: u64,
        /// Length of the line, nanoseconds; more than 0.
        len_ns: u64,
    },
}

impl Pitch {
    /// `C(dt) − C(0)` in units, for `dt` within the piece.
    fn grown(self, dt: u64) -> u128 {
        let dt = u128::from(dt);
        match self {
            Pitch::Constant { rate_milli } => u128::from(rate_milli) * dt,
            Pitch::Ramp { from_milli, to_milli, len_ns } => {
                // r0·dt + (r1 − r0)·dt² / 2L, kept positive whichever way the ramp goes. dt ≤ L ≤ 2⁵³ ns and
                // rates ≤ 2⁴³, so the products stay below 2¹²⁷ once divided early by L.
                let (from, to, len) =
                    (u128::from(from_milli), u128::from(to_milli), u128::from(len_ns.max(1)));
                if to >= from {
                    from * dt + mul_div((to - from) * dt, dt, 2 * len)
                } else {
                    from * dt - mul_div((from - to) * dt, dt, 2 * len)
                }
            }
        }
    }

    /// Milli-arrivals per second at `dt` after the piece's beginning.
    fn rate_at(self, dt: u64) -> u64 {
        match self {
            Pitch::Constant { rate_milli } => rate_milli,
            Pitch::Ramp { from_milli, to_milli, len_ns } => {
                let dt = dt.min(len_ns);
                let (near, far) = (u128::from(from_milli), u128::from(to_milli));
                let (dt, len) = (u128::from(dt), u128::from(len_ns.max(1)));
                let rate =
                    if far >= near { near + (far - near) * dt / len } else { near - (near - far) * dt / len };
                u64::try_from(rate).unwrap_or(u64::MAX)
            }
        }
    }
}

/// `a × b / c` rounded down, without overflow as long as the result fits.
fn mul_div(a: u128, b: u128, c: u128) -> u128 {
    match a.checked_mul(b) {
        Some(product) => product / c,
        None => (a / c) * b + (a % c) * b / c,
    }
}

/// A stretch of the schedule with one pitch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// When it begins, nanoseconds since the run's start.
    pub from_ns: u64,
    /// `C` at its beginning.
    pub base: Count,
    /// The rate within it.
    pub pitch: Pitch,
}

/// A stage as a user gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Milli-arrivals per second at the end of the stage.
    pub rate_milli: u64,
    /// Length, nanoseconds.
    pub len_ns: u64,
    /// A straight line from the last stage's rate, instead of this rate from the first moment.
    pub ramp: bool,
}

/// The schedule of a run: pieces one after the other, and the end after which nothing arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pieces: Vec<Piece>,
    end_ns: u64,
}

impl Schedule {
    /// The schedule of `stages`, beginning from rate 0.
    #[must_use]
    pub fn new(stages: &[Stage]) -> Schedule {
        let mut pieces = Vec::with_capacity(stages.len());
        let (mut at, mut base, mut rate) = (0u64, 0u128, 0u64);
        for stage in stages {
            let pitch = if stage.ramp {
                Pitch::Ramp { from_milli: rate, to_milli: stage.rate_milli, len_ns: stage.len_ns.max(1) }
            } else {
                Pitch::Constant { rate_milli: stage.rate_milli }
            };
            pieces.push(Piece { from_ns: at, base: Count::from_units(base), pitch });
            base += pitch.grown(stage.len_ns);
            at = at.saturating_add(stage.len_ns);
            rate = stage.rate_milli;
        }
        if pieces.is_empty() {
            let pitch = Pitch::Constant { rate_milli: 0 };
            pieces.push(Piece { from_ns: 0, base: Count::default(), pitch });
        }
        Schedule { pieces, end_ns: at }
    }

    /// When the schedule ends, nanoseconds since the run's start. Nothing is due at or after it.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// This schedule with a constant rate from `at_ns` to the same end; at or after the end nothing changes.
    #[must_use]
    pub fn changed(&self, at_ns: u64, rate_milli: u64) -> Schedule {
        if at_ns >= self.end_ns {
            return self.clone();
        }
        let mut pieces: Vec<Piece> = self.pieces.iter().copied().filter(|p| p.from_ns < at_ns).collect();
        let base = Count::from_units(self.units_at(at_ns));
        pieces.push(Piece { from_ns: at_ns, base, pitch: Pitch::Constant { rate_milli } });
        Schedule { pieces, end_ns: self.end_ns }
    }

    /// This schedule cut off at `at_ns`.
    #[must_use]
    pub fn ended(&self, at_ns: u64) -> Schedule {
        Schedule { pieces: self.pieces.clone(), end_ns: self.end_ns.min(at_ns) }
    }

    /// The pieces in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    fn piece_at(&self, at_ns: u64) -> &Piece {
        let after = self.pieces.partition_point(|p| p.from_ns <= at_ns);
        &self.pieces[after.saturating_sub(1)]
    }

    /// The rate at an instant, milli-arrivals per second.
    #[must_use]
    pub fn rate_milli_at(&self, at_ns: u64) -> u64 {
        let piece = self.piece_at(at_ns);
        piece.pitch.rate_at(at_ns.saturating_sub(piece.from_ns))
    }

    /// `C(t)` in units of 10⁻¹² arrivals.
    #[must_use]
    pub fn units_at(&self, at_ns: u64) -> u128 {
        let at_ns = at_ns.min(self.end_ns);
        let piece = self.piece_at(at_ns);
        piece.base.units() + piece.pitch.grown(at_ns - piece.from_ns.min(at_ns))
    }

    /// The first instant with `C(t) ≥ units`, or none before the end.
    #[must_use]
    pub fn instant_of(&self, units: u128) -> Option<u64> {
        // The last piece whose base lies below the wanted count; pieces of rate 0 share a base, and the
        // first instant is in the earliest piece that reaches it.
        let after = self.pieces.partition_point(|p| p.base.units() < units);
        let piece = &self.pieces[after.saturating_sub(1)];
        // A piece may begin after the end (a late change, a schedule cut short); a ramp must not be followed there.
        let until = self.pieces.get(after.max(1)).map_or(self.end_ns, |next| next.from_ns.min(self.end_ns));
        let wanted = units.saturating_sub(piece.base.units());
        let limit = until.saturating_sub(piece.from_ns);
        let dt = match piece.pitch {
            Pitch::Constant { rate_milli: 0 } => {
                if wanted == 0 {
                    0
                } else {
                    return None;
                }
            }
            Pitch::Constant { rate_milli } => divide_up(wanted, rate_milli)?,
            Pitch::Ramp { .. } => first_reaching(limit, |dt| piece.pitch.grown(dt) >= wanted)?,
        };
        let at = piece.from_ns.checked_add(dt)?;
        (at < self.end_ns).then_some(at)
    }
}

/// `a / b` rounded up; with 64-bit arithmetic where that is enough, since it is on the sending path.
fn divide_up(a: u128, b: u64) -> Option<u64> {
    match u64::try_from(a) {
        Ok(small) => Some(small.div_ceil(b)),
        Err(_) => u64::try_from(a.div_ceil(u128::from(b))).ok(),
    }
}

/// The smallest `dt` in `0..=limit` for which `reached` holds, given that it stays true once true.
fn first_reaching(limit: u64, reached: impl Fn(u64) -> bool) -> Option<u64> {
    if !reached(limit) {
        return None;
    }
    let (mut low, mut high) = (0, limit);
    while low < high {
        let middle = low + (high - low) / 2;
        if reached(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn constant(rate_milli: u64, seconds: u64) -> Schedule {
        Schedule::new(&[Stage { rate_milli, len_ns: seconds * SECOND, ramp: false }])
    }

    fn due(schedule: &Schedule, index: u64) -> Option<u64> {
        schedule.instant_of(u128::from(index) * UNIT)
    }

    #[test]
    fn a_constant_rate_has_equal_gaps_and_the_exact_count() {
        let schedule = constant(3_000, 10);
        assert_eq!(due(&schedule, 0), Some(0));
        assert_eq!(due(&schedule, 1), Some(333_333_334));
        assert_eq!(due(&schedule, 3), Some(SECOND));
        assert_eq!(due(&schedule, 29), Some(9_666_666_667));
        assert_eq!(due(&schedule, 30), None, "nothing is due at the end");
    }

    #[test]
    fn fractional_rates_keep_their_period() {
        let schedule = constant(500, 10);
        assert_eq!(
            (0..6).map(|i| due(&schedule, i)).collect::<Vec<_>>(),
            [Some(0), Some(2 * SECOND), Some(4 * SECOND), Some(6 * SECOND), Some(8 * SECOND), None]
        );
    }

    #[test]
    fn a_rate_of_zero_sends_the_first_arrival_only_when_it_rises() {
        let schedule = Schedule::new(&[
            Stage { rate_milli: 0, len_ns: SECOND, ramp: false },
            Stage { rate_milli: 1_000, len_ns: 2 * SECOND, ramp: false },
        ]);
        // C stays 0 for a second, and arrival 0 is due where C first reaches 0: at the start.
        assert_eq!(due(&schedule, 0), Some(0));
        assert_eq!(due(&schedule, 1), Some(2 * SECOND));
        assert_eq!(due(&schedule, 2), None);
    }

    #[test]
    fn a_change_neither_repeats_nor_skips() {
        let before = constant(1_000_000, 10);
        let after = before.changed(2 * SECOND + 500_123, 5_000_000);
        let mut last = None;
        for index in 0..6_000 {
            let at = due(&after, index).unwrap();
            if let Some(last) = last {
                let gap: u64 = at - last;
                assert!((200_000..=1_000_001).contains(&gap), "gap {gap} at {index}");
            }
            last = Some(at);
        }
        assert_eq!(due(&before, 1_500), due(&after, 1_500));
    }

    #[test]
    fn a_change_after_the_end_of_a_falling_ramp_changes_nothing() {
        let ramp = Schedule::new(&[
            Stage { rate_milli: 16_790, len_ns: 37_000_000, ramp: false },
            Stage { rate_milli: 8_037, len_ns: 195_000_000, ramp: true },
        ]);
        let changed = ramp.changed(SECOND, 0);
        for index in 0..10 {
            assert_eq!(due(&changed, index), due(&ramp, index));
        }
    }

    #[test]
    fn a_ramp_integrates_to_half_of_its_rectangle() {
        let schedule = Schedule::new(&[Stage { rate_milli: 100_000, len_ns: 10 * SECOND, ramp: true }]);
        assert_eq!(schedule.units_at(10 * SECOND), 500 * UNIT);
        assert_eq!(schedule.rate_milli_at(5 * SECOND), 50_000);
        let half_way = due(&schedule, 125).unwrap();
        assert!((half_way as f64 / 1e9 - 5.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn due_times_never_go_back_and_are_the_first_to_reach_their_count(
            rates in prop::collection::vec((0u64..2_000_000, 1u64..3_000, any::<bool>()), 1..5),
            change in prop::option::of((1u64..4_000, 0u64..2_000_000)),
        ) {
            let stages: Vec<Stage> = rates
                .iter()
                .map(|(rate_milli, ms, ramp)| Stage { rate_milli: *rate_milli, len_ns: ms * 1_000_000, ramp: *ramp })
                .collect();
            let mut schedule = Schedule::new(&stages);
            if let Some((ms, rate_milli)) = change {
                schedule = schedule.changed(ms * 1_000_000, rate_milli);
            }
            let mut last = 0;
            for index in (0..schedule.units_at(schedule.end_ns()) / UNIT + 2).step_by(7) {
                let Some(at) = schedule.instant_of(index * UNIT) else { break };
                prop_assert!(at >= last);
                prop_assert!(at < schedule.end_ns());
                prop_assert!(schedule.units_at(at) >= index * UNIT);
                prop_assert!(at == 0 || schedule.units_at(at - 1) < index * UNIT);
                last = at;
            }
        }
    }
}
