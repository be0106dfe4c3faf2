//! What was seen of one master.

use super::Limits;
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_model::witness::{HEARD_WITHIN, Heard};
use std::fmt;
use std::time::Duration;

/// Of a master's workers that say anything of the leader, this part complaining is evidence.
const COMPLAINTS: f64 = 0.6;
/// Fewer workers than this are no evidence: one of them may be ill itself.
const ENOUGH_WORKERS: u32 = 3;
/// The leader may have died this long after its last answer to the sentinel, a worker's word on its way included.
const ON_ITS_WAY: Duration = Duration::from_millis(400);

/// What happened at a master's door.
#[derive(Debug, Clone, PartialEq)]
pub enum Sign {
    /// It answered.
    Answered(Health),
    /// It refused a connection: the machine is there and the process is not.
    Refused,
    /// No connection came about, for another reason.
    Unreachable(String),
}

/// A master's word about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Its process.
    pub incarnation: String,
    /// Its term, when it leads.
    pub leading: Option<Epoch>,
    /// Since its dispatch loop turned.
    pub dispatch: Duration,
    /// Since its store answered.
    pub store: Duration,
    /// Since its disk took a write.
    pub disk: Duration,
    /// Whether it may lead.
    pub eligible: bool,
    /// Larger leads first.
    pub priority: u32,
    /// Share of processors in use.
    pub cpu: f64,
    /// Share of memory in use.
    pub memory: f64,
    /// Its wall clock, milliseconds since 1970.
    pub unix_ms: i64,
    /// What its workers say of the leader.
    pub witnesses: Witnesses,
}

/// What the workers of one master say of the leader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// The leader meant.
    pub leader: Option<NodeId>,
    /// Workers attached.
    pub attached: u32,
    /// Of these, how many heard it within each of [`HEARD_WITHIN`].
    pub heard_within: Heard,
}

impl Witnesses {
    /// Whether enough of them heard the leader after a silence of `silence` began: then it is the sentinel that is
    /// deaf. A tenth of them, or one: a small fleet's are each heard by their leader more than twice a second.
    pub(crate) fn prove_life(&self, silence: Duration) -> bool {
        let bounds = HEARD_WITHIN.iter().zip(&self.heard_within);
        let since = bounds.rev().find(|(bound, _)| **bound + ON_ITS_WAY <= silence);
        since.is_some_and(|(_, heard)| *heard > 0 && f64::from(*heard) * 10.0 >= f64::from(self.attached))
    }

    /// Whether most of them have not heard the leader for long.
    fn complain(&self) -> bool {
        let [.., heard] = self.heard_within;
        let lost = f64::from(self.attached.saturating_sub(heard));
        self.attached >= ENOUGH_WORKERS && lost >= COMPLAINTS * f64::from(self.attached)
    }
}

/// Kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// It answers, but does not work.
    Grey,
    /// It does not answer.
    Silent,
    /// Its process is gone.
    Hard,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Grey => "GREY",
            Class::Silent => "SILENT",
            Class::Hard => "HARD",
        })
    }
}

/// Evidence against a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Its kind.
    pub class: Class,
    /// In words.
    pub why: String,
    /// Since when.
    pub since: Duration,
}

/// All that counts of what was seen of one master.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Its newest word about itself.
    pub health: Option<Health>,
    /// Its clock minus this sentinel's when it answered, milliseconds.
    pub ahead_ms: i64,
    answered: Duration,
    /// When it was last known to live: it answered, or took the leader key.
    alive: Duration,
    /// Since when the process that answers does.
    speaks: Duration,
    refused: Option<(Duration, Duration)>,
    /// Since when nobody new was let in, though it may still speak to those inside.
    shut: Option<(Duration, String)>,
}

impl Record {
    /// A master seen for the first time at `now`: it has the time of a silence to say something.
    pub(crate) fn new(now: Duration) -> Record {
        Record {
            health: None,
            ahead_ms: 0,
            answered: now,
            alive: now,
            speaks: now,
            refused: None,
            shut: None,
        }
    }

    /// Takes a sign in; `unix_ms` is the wall clock of now.
    pub(crate) fn take(&mut self, now: Duration, unix_ms: i64, sign: Sign) {
        match sign {
            Sign::Answered(health) => {
                self.ahead_ms = health.unix_ms.saturating_sub(unix_ms);
                if self.health.as_ref().is_none_or(|before| before.incarnation != health.incarnation) {
                    self.speaks = now;
                }
                self.health = Some(health);
                (self.answered, self.alive) = (now, now);
            }
            Sign::Refused => {
                let first = self.refused.map_or(now, |(first, _)| first);
                self.refused = Some((first, now));
                self.shut.get_or_insert((now, "it refuses connections".to_owned()));
            }
            Sign::Unreachable(why) => {
                self.shut.get_or_insert((now, format!("it lets nobody in: {why}")));
            }
        }
    }

    /// A new connection came about.
    pub(crate) fn opened(&mut self) {
        (self.refused, self.shut) = (None, None);
    }

    /// It took the leader key: whatever was seen at its door before was of a process before it, or is over.
    pub(crate) fn took_the_lead(&mut self, now: Duration) {
        (self.alive, self.speaks) = (now, now);
        (self.refused, self.shut) = (None, None);
    }

    /// Since when nothing was heard.
    pub(crate) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.answered)
    }

    /// The gravest evidence at `now` against the process `incarnation`, which leads; `multiplier` stretches what may be the
    /// sentinel's own fault.
    pub(crate) fn judge(
        &self,
        now: Duration,
        limits: &Limits,
        multiplier: u32,
        incarnation: &str,
    ) -> Option<Finding> {
        if let Some(since) = self.refusals(limits) {
            let why = "its process is gone: it refuses connections".to_owned();
            return Some(Finding { class: Class::Hard, why, since });
        }
        if let Some(since) = self.replaced(incarnation, limits) {
            let why = "its process is gone: another one answers in its place".to_owned();
            return Some(Finding { class: Class::Hard, why, since });
        }
        let silence = now.saturating_sub(self.alive);
        if silence >= limits.silent_for.saturating_mul(multiplier) {
            let why = format!("no answer for {:.1} s", silence.as_secs_f64());
            return Some(Finding { class: Class::Silent, why, since: self.alive });
        }
        self.grey(now, limits)
    }

    /// Since when its door refuses connections, when that is no accident.
    fn refusals(&self, limits: &Limits) -> Option<Duration> {
        let (first, last) = self.refused?;
        (first >= self.alive && last.saturating_sub(first) >= limits.refused_for).then_some(first)
    }

    /// Since when another process than `incarnation` answers, when that is no answer from before.
    fn replaced(&self, incarnation: &str, limits: &Limits) -> Option<Duration> {
        let is_other = self.health.as_ref().is_some_and(|health| health.incarnation != incarnation);
        (is_other && self.answered.saturating_sub(self.speaks) >= limits.refused_for).then_some(self.speaks)
    }

    fn grey(&self, now: Duration, limits: &Limits) -> Option<Finding> {
        let health = self.health.as_ref()?;
        let finding = |why: String, since| Some(Finding { class: Class::Grey, why, since });
        for (silence, what) in [
            (health.dispatch, "its dispatch loop does not turn"),
            (health.store, "its store does not answer it"),
            (health.disk, "its disk takes no writes"),
        ] {
            if silence >= limits.grey_for {
                let since = now.saturating_sub(silence);
                return finding(format!("{what} since {:.1} s", silence.as_secs_f64()), since);
            }
        }
        let (since, why) = self.shut.as_ref()?;
        if now.saturating_sub(*since) < limits.grey_for {
            return None;
        }
        finding(why.clone(), *since)
    }
}

/// What most workers have against the leader, as the master with the most of them tells; none when they have nothing.
pub(crate) fn complaint(witnesses: &[&Witnesses]) -> Option<String> {
    let most = witnesses.iter().max_by_key(|witnesses| witnesses.attached)?;
    let [.., heard] = most.heard_within;
    most.complain().then(|| {
        format!(
            "{} of {} workers have not heard it for {} s",
            most.attached.saturating_sub(heard),
            most.attached,
            HEARD_WITHIN.last().map_or(0, Duration::as_secs)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    pub(crate) fn well() -> Health {
        Health {
            incarnation: "a".into(),
            leading: Some(Epoch(1)),
            dispatch: Duration::ZERO,
            store: MS * 500,
            disk: MS * 500,
            eligible: true,
            priority: 100,
            cpu: 0.1,
            memory: 0.1,
            unix_ms: 0,
            witnesses: Witnesses::default(),
        }
    }

    fn class(record: &Record, at_ms: u32, multiplier: u32) -> Option<Class> {
        record.judge(MS * at_ms, &Limits::default(), multiplier, "a").map(|finding| finding.class)
    }

    #[test]
    fn two_refusals_apart_are_a_death_and_one_is_an_accident() {
        let mut record = Record::new(Duration::ZERO);
        record.take(MS * 10, 0, Sign::Answered(well()));
        record.take(MS * 50, 0, Sign::Refused);
        record.take(MS * 149, 0, Sign::Refused);
        assert_eq!(class(&record, 149, 1), None);
        record.take(MS * 150, 0, Sign::Refused);
        assert_eq!(class(&record, 150, 4), Some(Class::Hard), "however ill the sentinel is");
        record.opened();
        record.take(MS * 160, 0, Sign::Answered(well()));
        assert_eq!(class(&record, 170, 1), None);
    }

    #[test]
    fn refusals_before_it_took_the_key_say_nothing_of_the_process_that_did() {
        let mut record = Record::new(Duration::ZERO);
        record.take(MS * 10, 0, Sign::Answered(well()));
        record.take(MS * 50, 0, Sign::Refused);
        record.take(MS * 300, 0, Sign::Refused);
        assert_eq!(class(&record, 4_000, 1), Some(Class::Hard));
        record.took_the_lead(MS * 4_000);
        assert_eq!(class(&record, 4_999, 1), None, "and it has the time of a silence to say something");
        assert_eq!(class(&record, 5_000, 1), Some(Class::Silent));
        record.take(MS * 4_100, 0, Sign::Refused);
        record.take(MS * 4_200, 0, Sign::Refused);
        assert_eq!(class(&record, 4_200, 1), Some(Class::Hard));
    }

    #[test]
    fn another_process_that_answers_in_its_place_is_its_death_and_an_answer_from_before_is_not() {
        let mut record = Record::new(Duration::ZERO);
        let other = |incarnation: &str| Health { incarnation: incarnation.to_owned(), ..well() };
        record.take(MS * 10, 0, Sign::Answered(well()));
        record.take(MS * 300, 0, Sign::Answered(other("b")));
        assert_eq!(class(&record, 300, 1), None);
        record.take(MS * 400, 0, Sign::Answered(other("b")));
        assert_eq!(class(&record, 400, 1), Some(Class::Hard));
        // The next one of its name takes the key before it is heard, and answers of the one before are still on their way.
        record.took_the_lead(MS * 500);
        record.take(MS * 550, 0, Sign::Answered(other("b")));
        assert_eq!(class(&record, 560, 1), None);
        record.take(MS * 600, 0, Sign::Answered(other("a")));
        record.take(MS * 900, 0, Sign::Answered(other("a")));
        assert_eq!(class(&record, 900, 1), None);
    }

    #[test]
    fn silence_counts_from_the_last_answer_and_a_sick_sentinel_waits_longer() {
        let mut record = Record::new(Duration::ZERO);
        record.take(MS * 500, 0, Sign::Answered(well()));
        record.take(MS * 600, 0, Sign::Unreachable("timed out".into()));
        assert_eq!(class(&record, 1_499, 1), None);
        assert_eq!(class(&record, 1_500, 1), Some(Class::Silent));
        assert_eq!(class(&record, 1_500, 2), None);
        assert_eq!(class(&record, 2_500, 2), Some(Class::Silent));
    }

    #[test]
    fn a_master_that_answers_but_does_not_work_is_grey() {
        for (dispatch, store, disk) in [(3, 0, 0), (0, 3, 0), (0, 0, 3)] {
            let mut record = Record::new(Duration::ZERO);
            let s = |n: u32| MS * 1000 * n;
            let health = Health { dispatch: s(dispatch), store: s(store), disk: s(disk), ..well() };
            record.take(MS * 100, 0, Sign::Answered(health));
            assert_eq!(class(&record, 200, 1), Some(Class::Grey));
        }
        let mut record = Record::new(Duration::ZERO);
        record.take(MS * 100, 0, Sign::Unreachable("too many open files".into()));
        for at in 1..40 {
            record.take(MS * 100 * at, 0, Sign::Answered(well()));
        }
        assert_eq!(class(&record, 3_099, 1), None);
        assert_eq!(class(&record, 3_100, 1), Some(Class::Grey), "its door is shut");
    }

    #[test]
    fn workers_that_heard_it_meanwhile_prove_that_the_sentinel_is_deaf() {
        let heard = |attached, heard_within| Witnesses { leader: None, attached, heard_within };
        assert!(heard(1, [0, 1, 1, 1, 1]).prove_life(MS * 1000));
        assert!(!heard(1, [0, 0, 1, 1, 1]).prove_life(MS * 1000), "that was before");
        assert!(heard(100, [0, 10, 60, 99, 100]).prove_life(MS * 1000));
        assert!(!heard(100, [0, 9, 60, 99, 100]).prove_life(MS * 1000));
        assert!(!heard(100, [9, 90, 90, 90, 90]).prove_life(MS * 300), "too soon to say");
        assert!(
            heard(4, [0, 0, 1, 1, 1]).prove_life(MS * 1150)
                && !heard(4, [0, 0, 1, 1, 1]).prove_life(MS * 1100)
        );
        assert_eq!(complaint(&[&heard(5, [0, 0, 0, 0, 3])]), None);
        let many = heard(5, [0, 0, 0, 0, 2]);
        assert!(complaint(&[&heard(2, [0; 5]), &many]).unwrap().contains("3 of 5"));
    }
}
