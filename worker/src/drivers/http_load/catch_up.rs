//! After a stall: late arrivals go out at less than twice their rate, not all at once.
//!
//! A thread that was kept from running for 3 ms at 5,000/s has 15 arrivals due when it runs again. Sent
//! together they would be a burst that no schedule asked for. So from then on the turns lie on a line on which
//! the schedule passes at 5/3 of its speed, until the line meets the schedule:
//! ```text
//!   due:   0   1   2   3   4   5   6   7   8   9
//!   sent:  0   -   -   -   1 2 3 4 5 6 7   8   9      turn = due · 3/5 + line
//!              ╰ stall ╯   ╰ the line ─╯
//! ```
//! However long the stall was, no millisecond holds more than twice its share and two. The line is a function
//! of the due time alone, so threads that stood still together keep to their order.
//!
//! An arrival is late by at most what its thread stood still, and [`GRID_NS`]. Where a thread is kept from
//! running again and again the lines would only add up; so nothing is held back for longer than the longest single
//! stall was, but in a spell of trouble that is shorter than [`SPELL_NS`].
//! In: the arrival at hand, instants. Out: its [`Turn`]. Pure; nanoseconds since the run's start.
//! Tests: `catch_up_test.rs`.

/// Turns that were missed by no more than this are made good at once: waking up takes some 20 µs to 50 µs each
/// time, which must not slow the catching up down.
const KEPT_NS: u64 = 100_000;

/// Lines begin on a grid: threads that stood still together shall go on one after another, as their arrivals
/// are due, and not all at the same instant.
const GRID_NS: u64 = 1_000_000;

/// Arrivals may always be held back for this long after they were due. Below what makes a result invalid (10 ms).
const HOLD_NS: u64 = 9_000_000;

/// Trouble that is over within this time is made good as if it were a single stall. What lasts longer will last,
/// and then bursts are better than arrivals that are later and later.
const SPELL_NS: u64 = 1_000_000_000;

/// Trouble within this time after other trouble is the same spell.
const QUIET_NS: u64 = 100_000_000;

/// What is to be done with the arrival at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes out when it is due, which may be now.
    Free,
    /// Arrivals before it are still being made good.
    Held,
    /// It is too late for it.
    Over,
}

/// The turns of one thread's arrivals.
#[derive(Debug, Clone, Copy)]
pub(super) struct CatchUp {
    /// Where the line begins; 0 for none, since such a line lies before the schedule.
    line_ns: u64,
    /// When an arrival was looked at last.
    looked_ns: u64,
    /// The longest single stall that is being made good.
    stall_ns: u64,
    /// When it could have been.
    stall_until_ns: u64,
    /// How late arrivals have come to be in this spell of trouble.
    spell_ns: u64,
    /// When it is none any more.
    spell_until_ns: u64,
    /// When the next trouble is another spell.
    quiet_from_ns: u64,
    /// What is late by more is over.
    most_ns: u64,
}

impl CatchUp {
    /// For a thread that drops what is late by more than `most_ns`.
    pub(super) fn new(most_ns: u64) -> CatchUp {
        CatchUp {
            line_ns: 0,
            looked_ns: 0,
            stall_ns: 0,
            stall_until_ns: 0,
            spell_ns: 0,
            spell_until_ns: 0,
            quiet_from_ns: 0,
            most_ns,
        }
    }

    /// When an arrival that is due at `due_ns` has its turn.
    #[inline]
    pub(super) fn turn(&self, due_ns: u64) -> u64 {
        let line_ns = slowed(due_ns).saturating_add(self.line_ns);
        if line_ns <= due_ns {
            return due_ns;
        }
        line_ns.min(due_ns.saturating_add(self.hold_ns()))
    }

    /// How long an arrival may be held back after it was due.
    pub(super) fn hold_ns(&self) -> u64 {
        let owed_ns = self.stall_ns.max(self.spell_ns).saturating_add(GRID_NS);
        // What is held back must not be too late then. All that this lets out at once is due within a millisecond.
        HOLD_NS.max(owed_ns).min(self.most_ns.saturating_sub(GRID_NS))
    }

    /// Looks at the arrival at hand, due at `due_ns`, at `now_ns`: a turn that was missed begins a line.
    #[inline]
    pub(super) fn judge(&mut self, due_ns: u64, now_ns: u64) -> Turn {
        if now_ns <= due_ns {
            return Turn::Free;
        }
        if now_ns - due_ns > self.most_ns {
            return Turn::Over;
        }
        let before_ns = std::mem::replace(&mut self.looked_ns, now_ns);
        if now_ns >= self.stall_until_ns {
            self.stall_ns = 0;
        }
        if now_ns >= self.spell_until_ns {
            self.spell_ns = 0;
        }
        let turn_ns = self.turn(due_ns);
        if turn_ns > now_ns {
            return Turn::Held;
        }
        if turn_ns == due_ns && due_ns >= self.quiet_from_ns {
            self.spell_until_ns = due_ns.saturating_add(SPELL_NS);
        }
        if now_ns - turn_ns <= KEPT_NS {
            return Turn::Free;
        }
        self.begin_line(due_ns, now_ns, now_ns.saturating_sub(turn_ns.max(before_ns)));
        if self.turn(due_ns) > now_ns { Turn::Held } else { Turn::Free }
    }

    #[cold]
    fn begin_line(&mut self, due_ns: u64, now_ns: u64, stood_ns: u64) {
        let line_ns = now_ns.saturating_sub(KEPT_NS).saturating_sub(slowed(due_ns));
        // Shorter stalls add less than a millisecond's arrivals, and a busy thread shall not pause.
        let line_ns = if stood_ns < GRID_NS { line_ns } else { line_ns.next_multiple_of(GRID_NS) };
        self.line_ns = self.line_ns.max(line_ns);
        if stood_ns >= self.stall_ns {
            self.stall_ns = stood_ns;
            // One and a half of it is enough.
            self.stall_until_ns = now_ns.saturating_add(stood_ns.saturating_mul(2)).saturating_add(HOLD_NS);
        }
        if now_ns < self.spell_until_ns {
            self.spell_ns = self.spell_ns.max(now_ns - due_ns);
        }
        self.quiet_from_ns = now_ns.saturating_add(QUIET_NS);
    }
}

/// An instant of the schedule as it passes while a stall is made good. Twice the speed would leave no room for
/// what [`KEPT_NS`] lets out together, nor for threads that lie on different lines of the grid.
#[inline]
fn slowed(due_ns: u64) -> u64 {
    due_ns.saturating_mul(3) / 5
}

#[cfg(test)]
#[path = "catch_up_test.rs"]
mod tests;
