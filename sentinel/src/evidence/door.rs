//! What was seen at workers' doors, and whether it says that a worker is dead.

use shanty_model::id::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Looks in a row without an answer after which a worker counts as dead.
const LOOKS: usize = 2;
/// A door that was not looked at for this long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// A worker as the leader names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Door {
    /// The worker.
    pub worker: NodeId,
    /// The start of its process.
    pub incarnation: String,
    /// `host:port`.
    pub address: String,
}

/// What one look at a door came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glance {
    /// This start of the worker answered.
    Answered,
    /// Another process answered.
    Another,
    /// Connections are refused.
    Refused,
    /// Nothing came in time.
    Silent,
}

/// A worker as this sentinel found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whether it is dead.
    pub dead: bool,
    /// What was seen, in words.
    pub why: &'static str,
    /// When the look began from which on this is so.
    pub since: Duration,
}

/// All doors that were looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doors(BTreeMap<Door, Seen>);

#[derive(Debug, Clone)]
struct Seen {
    /// Whether this start was ever met here: what was never there, cannot be missed.
    met: bool,
    looked: Duration,
    /// When looks without an answer began, since the last one with it; the newest ones.
    missed: [Duration; LOOKS],
    misses: usize,
    last: Glance,
}

impl Doors {
    /// Takes in a look that began at `began`.
    pub(crate) fn looked(&mut self, door: Door, began: Duration, glance: Glance) {
        self.0.retain(|_, seen| began.saturating_sub(seen.looked) < FORGOTTEN);
        let new = Seen { met: false, looked: began, missed: [began; LOOKS], misses: 0, last: glance };
        let seen = self.0.entry(door).or_insert(new);
        (seen.looked, seen.last) = (began, glance);
        if glance == Glance::Answered {
            (seen.met, seen.misses) = (true, 0);
        } else {
            seen.missed.rotate_left(1);
            seen.missed[LOOKS - 1] = began;
            seen.misses += 1;
        }
    }

    /// What there is to say of a worker; none when nothing is certain.
    pub(crate) fn finding(&self, door: &Door) -> Option<Finding> {
        let seen = self.0.get(door)?;
        if seen.last == Glance::Answered {
            return Some(Finding { dead: false, why: "it answered at its door", since: seen.looked });
        }
        if !seen.met || seen.misses < LOOKS {
            return None;
        }
        let why = match seen.last {
            Glance::Another => "another process answers at its door",
            Glance::Refused => "its process is gone: its door refuses connections",
            Glance::Answered | Glance::Silent => "nothing answers at its door",
        };
        Some(Finding { dead: true, why, since: seen.missed[0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn door(incarnation: &str) -> Door {
        let (worker, address) = ("w1".parse().unwrap(), "a:1".to_owned());
        Door { worker, incarnation: incarnation.to_owned(), address }
    }

    fn doors(looks: &[(u32, Glance)]) -> Doors {
        let mut doors = Doors::default();
        for (at, glance) in looks {
            doors.looked(door("a"), MS * *at, *glance);
        }
        doors
    }

    #[test]
    fn two_looks_without_an_answer_where_one_had_come_are_a_death() {
        use Glance::{Another, Answered, Refused, Silent};
        for (last, part) in [(Refused, "gone"), (Silent, "nothing answers"), (Another, "another process")] {
            let one = doors(&[(0, Answered), (1000, last)]);
            assert_eq!(one.finding(&door("a")), None, "one may be an accident");
            let two = doors(&[(0, Answered), (1000, Silent), (1200, last)]);
            let found = two.finding(&door("a")).unwrap();
            assert!(found.dead && found.why.contains(part), "{found:?}");
            assert_eq!(found.since, MS * 1000);
        }
        let three = doors(&[(0, Answered), (1000, Silent), (1200, Silent), (1900, Silent)]);
        assert_eq!(three.finding(&door("a")).unwrap().since, MS * 1200, "the newest two");
        let back = doors(&[(0, Answered), (1000, Silent), (1200, Silent), (1900, Answered)]);
        assert!(!back.finding(&door("a")).unwrap().dead);
        let again = doors(&[(0, Answered), (1000, Silent), (1200, Answered), (1900, Silent)]);
        assert_eq!(again.finding(&door("a")), None);
    }

    #[test]
    fn a_door_at_which_this_start_was_never_met_says_nothing() {
        use Glance::{Answered, Refused};
        let never = doors(&[(0, Refused), (200, Refused), (400, Refused)]);
        assert_eq!(never.finding(&door("a")), None, "its address may mean another machine here");
        let mut restarted = doors(&[(0, Answered)]);
        restarted.looked(door("b"), MS * 100, Refused);
        restarted.looked(door("b"), MS * 300, Refused);
        assert_eq!(restarted.finding(&door("b")), None);
    }

    #[test]
    fn doors_of_the_past_are_forgotten() {
        let mut doors = doors(&[(0, Glance::Answered)]);
        doors.looked(door("b"), FORGOTTEN, Glance::Answered);
        assert_eq!(doors.0.len(), 1);
    }
}
