//! All that a sentinel decides: whether to vote against the leader, and when votes suffice to end its term. Pure.
//!
//! ```text
//!  keys ──► Picture ─┐                        ┌─► the vote that this sentinel should have cast, or none
//!  signs ─► Records ─┼─► reconsider, at each ─┤
//!  ticks ─► Doubt ───┘                        └─► a Deposition: one transaction, bound to all that it rests on
//! ```
//! In: events with the time of their arrival. Out: what should be. Never: a clock, I/O, a vote that is not bound to one
//! leader key, an end of a term without the votes of a majority of the configured sentinels.
//! Tests: `brain_test.rs`; the shells around it in the tests crate.

use crate::evidence::{Class, Doubt, Finding, Limits, Record, Sign, complaint};
use crate::nominate::{self, Field};
use crate::picture::{Change, Kept, Picture};
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_rt::coord::record::{self, Candidacy, Cast, Ending, LeaderInfo, Nominee, SentinelSet, Vote};
use shanty_rt::coord::{Compare, Entry, Keys, LeaseId, Op, Role, WatchEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A master whose term was ended is the last candidate for this long, milliseconds, and none on grey evidence.
const SET_ASIDE_MS: i64 = 60_000;
/// Terms that were ended on grey evidence within this count, milliseconds.
const LATELY_MS: i64 = 600_000;
/// After this many of them only a dead or silent leader's term is ended.
const MOST_GREY: usize = 3;
/// Another master that answered within this shows that the sentinel is not alone. Shorter than a silence that counts: a
/// sentinel that is cut off finds everybody silent at once.
const SEEN: Duration = Duration::from_millis(600);
/// A vote is taken back when there was no reason for it for two probes.
const PROBES_BACK: u32 = 2;

/// The time, twice: for decisions and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// CLOCK_BOOTTIME.
    pub boot: Duration,
    /// Milliseconds since 1970.
    pub unix_ms: i64,
}

/// A sentinel's mind.
#[derive(Debug, Clone)]
pub(crate) struct Brain {
    me: NodeId,
    limits: Limits,
    picture: Picture,
    records: BTreeMap<NodeId, Record>,
    doubt: Doubt,
    /// Create revision of the leader key, and when it was first seen.
    leads: Option<(i64, Duration)>,
    complaint: Option<Duration>,
    vote: Option<Vote>,
    /// Since when there is no reason for the vote.
    calm: Option<Duration>,
    held: Option<Held>,
}

/// Why a sentinel that sees something against the leader does not vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Workers hear a leader that the sentinel does not.
    Witnesses,
    /// For half a reason a leader that has just begun is let be, and one of many that were ended for such lately.
    Spared,
    /// It reaches neither the other sentinels nor another master.
    Alone,
    /// No other master is fit to follow.
    NoSuccessor,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Held::Witnesses => "workers hear it: see why the sentinels do not",
            Held::Spared => "it has just begun, or others were ended for as little lately: see what its nodes share",
            Held::Alone => "this sentinel reaches neither a majority of the sentinels nor another master: see its network",
            Held::NoSuccessor => "no other master is fit to lead: see that a second one is up and well",
        })
    }
}

/// The end of a term, ready to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deposition {
    /// All that it rests on.
    pub when: Vec<Compare>,
    /// What it puts and removes; the nomination still without a lease.
    pub then: Vec<Op>,
    /// The leader's lease, to be revoked afterwards.
    pub lease: Option<LeaseId>,
    /// Its record.
    pub ending: Ending,
}

impl Brain {
    pub(crate) fn new(me: NodeId, keys: Keys, limits: Limits) -> Brain {
        Brain {
            me,
            limits,
            picture: Picture::new(keys),
            records: BTreeMap::new(),
            doubt: Doubt::new(),
            leads: None,
            complaint: None,
            vote: None,
            calm: None,
            held: None,
        }
    }

    pub(crate) fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Keys changed.
    pub(crate) fn saw(&mut self, now: Now, event: WatchEvent) -> Vec<Change> {
        let changes = self.picture.apply(event);
        let masters = self.picture.nodes(Role::Master);
        self.records.retain(|node, _| masters.contains_key(node));
        for node in masters.into_keys() {
            self.records.entry(node).or_insert_with(|| Record::new(now.boot));
        }
        let created = self.picture.leader.as_ref().map(|leader| leader.entry.create_revision);
        if self.leads.map(|(created, _)| created) != created {
            self.leads = created.map(|created| (created, now.boot));
            self.complaint = None;
            let leader = self.picture.leader.as_ref().map(|leader| &leader.record.node);
            if let Some(record) = leader.and_then(|leader| self.records.get_mut(leader)) {
                record.took_the_lead(now.boot);
            }
        }
        self.reconsider(now);
        changes
    }

    /// Something happened at a master's door.
    pub(crate) fn sign(&mut self, now: Now, node: &NodeId, sign: Sign) {
        if let Some(record) = self.records.get_mut(node) {
            record.take(now.boot, now.unix_ms, sign);
        }
        self.reconsider(now);
    }

    /// A new connection to a master came about.
    pub(crate) fn opened(&mut self, node: &NodeId) {
        if let Some(record) = self.records.get_mut(node) {
            record.opened();
        }
    }

    /// Another sentinel was heard.
    pub(crate) fn peer(&mut self, now: Now, sentinel: NodeId) {
        self.doubt.heard(now.boot, sentinel);
    }

    /// Time has passed; called each `every`.
    pub(crate) fn tick(&mut self, now: Now, every: Duration) {
        self.doubt.tick(now.boot, now.unix_ms, every, &self.limits);
        self.reconsider(now);
    }

    /// The vote that this sentinel should have cast.
    pub(crate) fn vote(&self) -> Option<&Vote> {
        self.vote.as_ref()
    }

    /// Why it does not trust itself.
    pub(crate) fn tilt(&self) -> Option<&str> {
        self.doubt.tilted()
    }

    /// What keeps it from a vote that there is evidence for.
    pub(crate) fn held(&self) -> Option<Held> {
        self.held
    }

    /// Clocks of the other masters that answered lately, and this sentinel's own, minus the leader's, milliseconds.
    pub(crate) fn clocks(&self, now: Now) -> BTreeMap<NodeId, i64> {
        let Some(leader) = &self.picture.leader else { return BTreeMap::new() };
        let seen = |record: &Record| record.health.is_some() && record.silence(now.boot) < SEEN;
        let Some(leads) = self.records.get(&leader.record.node).filter(|record| seen(record)) else {
            return BTreeMap::new();
        };
        let others = self.others(now, leader).map(|(node, record)| (node.clone(), record.ahead_ms));
        let me = (self.me.clone(), 0);
        others.chain([me]).map(|(node, ahead_ms)| (node, ahead_ms - leads.ahead_ms)).collect()
    }

    fn reconsider(&mut self, now: Now) {
        let considered = self.consider(now);
        self.held = considered.as_ref().err().copied();
        let wanted = considered.unwrap_or(None);
        let leader = self.leads.map(|(created, _)| created);
        match (&self.vote, wanted) {
            (_, Some(new)) if self.vote.as_ref().is_none_or(|old| is_news(old, &new)) => {
                (self.vote, self.calm) = (Some(new), None);
            }
            (_, Some(_)) => self.calm = None,
            (Some(old), None) => {
                let calm = *self.calm.get_or_insert(now.boot);
                let back = now.boot.saturating_sub(calm) >= self.limits.probe_every * PROBES_BACK;
                if back || Some(old.against) != leader || self.doubt.tilted().is_some() {
                    (self.vote, self.calm) = (None, None);
                }
            }
            (None, None) => {}
        }
    }

    /// The vote that there is reason for now, or what keeps it back.
    fn consider(&mut self, now: Now) -> Result<Option<Vote>, Held> {
        let Some(leader) = self.picture.leader.clone() else { return Ok(None) };
        let members = self.picture.members();
        if members.len() < SentinelSet::FEWEST || !members.contains(&self.me) || self.doubt.tilted().is_some()
        {
            return Ok(None);
        }
        let Some(finding) = self.against(now, &leader)? else { return Ok(None) };
        if self.is_alone(now, &leader) {
            return Err(Held::Alone);
        }
        if !self.successors(now, &leader, finding.class).iter().any(is_fit) {
            return Err(Held::NoSuccessor);
        }
        let ago_ms = i64::try_from(now.boot.saturating_sub(finding.since).as_millis()).unwrap_or(0);
        Ok(Some(Vote {
            against: leader.entry.create_revision,
            class: finding.class.to_string(),
            why: finding.why,
            suspected_unix_ms: now.unix_ms.saturating_sub(ago_ms),
        }))
    }

    /// What there is against the leader, if it may count.
    fn against(&mut self, now: Now, leader: &Kept<LeaderInfo>) -> Result<Option<Finding>, Held> {
        let Some(record) = self.records.get(&leader.record.node) else { return Ok(None) };
        let multiplier = self.doubt.multiplier();
        let found = record.judge(now.boot, &self.limits, multiplier, &leader.record.incarnation);
        let witnesses: Vec<_> = self
            .others(now, leader)
            .filter_map(|(_, record)| record.health.as_ref())
            .map(|health| &health.witnesses)
            .filter(|witnesses| witnesses.leader.as_ref() == Some(&leader.record.node))
            .collect();
        let complaint = complaint(&witnesses);
        if let Some(Finding { class: Class::Silent, since, .. }) = found
            && witnesses.iter().any(|witnesses| witnesses.prove_life(now.boot.saturating_sub(since)))
        {
            return Err(Held::Witnesses);
        }
        self.complaint = complaint.is_some().then(|| self.complaint.unwrap_or(now.boot));
        let complained =
            self.complaint.filter(|since| now.boot.saturating_sub(*since) >= self.limits.complained_for);
        let of_workers = || Some(Finding { class: Class::Grey, why: complaint?, since: complained? });
        let Some(found) = found.or_else(of_workers) else { return Ok(None) };
        if found.class == Class::Grey && !self.grey_may_count(now) {
            return Err(Held::Spared);
        }
        Ok(Some(found))
    }

    /// Whether the leader has led for long enough to be ended for half a reason, and this did not happen often lately.
    fn grey_may_count(&self, now: Now) -> bool {
        let is_late = |ending: &&Ending| {
            now.unix_ms.saturating_sub(ending.unix_ms) < LATELY_MS
                && ending.votes.iter().any(|cast| cast.vote.class == Class::Grey.to_string())
        };
        let lately = self.picture.ended.values().filter(is_late).count();
        let tenure = self.leads.map_or(Duration::ZERO, |(_, since)| now.boot.saturating_sub(since));
        let factor = 1_u32 << u32::try_from(lately.min(MOST_GREY)).unwrap_or(0);
        lately < MOST_GREY && tenure >= self.limits.grey_tenure.saturating_mul(factor)
    }

    /// The records of the other masters that answered lately.
    fn others(&self, now: Now, leader: &Kept<LeaderInfo>) -> impl Iterator<Item = (&NodeId, &Record)> {
        let others = self.records.iter().filter(|(node, _)| **node != leader.record.node);
        others.filter(move |(_, record)| record.health.is_some() && record.silence(now.boot) < SEEN)
    }

    /// Whether it may be this sentinel that is cut off.
    fn is_alone(&self, now: Now, leader: &Kept<LeaderInfo>) -> bool {
        let Some(set) = &self.picture.set else { return true };
        let reached = self.doubt.reached(now.boot, &set.record.members, &self.me);
        reached < set.record.quorum() && self.others(now, leader).next().is_none()
    }

    /// Masters whose terms were ended just now, against their will.
    fn set_aside(&self, now: Now) -> BTreeSet<NodeId> {
        let lately = |ending: &&Ending| now.unix_ms.saturating_sub(ending.unix_ms) < SET_ASIDE_MS;
        let ended = self.picture.ended.values().filter(|ending| ending.is_from_outside());
        ended.filter(lately).map(|ending| ending.node.clone()).collect()
    }

    fn ranked(&self, now: Now, leader: &Kept<LeaderInfo>) -> Vec<Candidacy> {
        nominate::rank(&Field {
            now: now.boot,
            unix_ms: now.unix_ms,
            masters: &self.picture.nodes(Role::Master),
            records: &self.records,
            leader: &leader.record.node,
            deposed: &self.set_aside(now),
            limits: &self.limits,
        })
    }

    /// Who may follow a leader that is ended for evidence of this class, the best first, those passed over last: one half-sick
    /// master does not follow another, and a store that is slow for everybody is no reason to change the leader for one that
    /// it kept waiting a little less.
    fn successors(&self, now: Now, leader: &Kept<LeaderInfo>, class: Class) -> Vec<Candidacy> {
        let mut ranked = self.ranked(now, leader);
        if class == Class::Grey {
            let set_aside = self.set_aside(now);
            for candidacy in ranked.iter_mut().filter(|candidacy| is_fit(candidacy)) {
                let health = self.records.get(&candidacy.node).and_then(|record| record.health.as_ref());
                if set_aside.contains(&candidacy.node) {
                    candidacy.refused = "its own last term was ended within a minute".to_owned();
                } else if health.is_none_or(|health| nominate::is_strained(health, &self.limits)) {
                    candidacy.refused = "its store or its disk is strained too".to_owned();
                }
            }
            ranked.sort_by_key(|candidacy| !is_fit(candidacy));
        }
        ranked
    }

    /// The end of the leader's term, when a majority of the configured sentinels voted for it.
    pub(crate) fn deposition(&self, now: Now) -> Option<Deposition> {
        let picture = &self.picture;
        let (leader, term, set) = (picture.leader.as_ref()?, picture.term.as_ref()?, picture.set.as_ref()?);
        let paused = picture.pause.as_ref().is_some_and(|pause| pause.record.until_unix_ms > now.unix_ms);
        if paused || self.doubt.tilted().is_some() || set.record.members.len() < SentinelSet::FEWEST {
            return None;
        }
        let cast: Vec<(&NodeId, &Kept<Vote>)> = set
            .record
            .members
            .iter()
            .filter_map(|member| Some((member, picture.votes.get(&picture.keys.vote(member))?)))
            .filter(|(_, vote)| vote.record.against == leader.entry.create_revision)
            .collect();
        if cast.len() < set.record.quorum() {
            return None;
        }
        let (_, gravest) = cast.iter().max_by_key(|(_, vote)| class_of(&vote.record.class))?;
        let looked_at = self.successors(now, leader, class_of(&gravest.record.class));
        let fit = looked_at.iter().filter(|candidacy| is_fit(candidacy));
        let candidates: Vec<NodeId> = fit.map(|candidacy| candidacy.node.clone()).collect();
        let best = candidates.first()?;
        let reason = format!("{}: {}", gravest.record.class, gravest.record.why);
        let ending = Ending {
            term: leader.record.epoch,
            node: leader.record.node.clone(),
            by: self.me.clone(),
            reason: reason.clone(),
            votes: cast
                .iter()
                .map(|(by, vote)| Cast { by: (*by).clone(), vote: vote.record.clone() })
                .collect(),
            candidates: looked_at,
            suspected_unix_ms: cast.iter().map(|(_, vote)| vote.record.suspected_unix_ms).min().unwrap_or(0),
            unix_ms: now.unix_ms,
        };
        let nominee = Nominee {
            for_term: Epoch(term.record.term.0 + 1),
            by: self.me.clone(),
            reason: format!("{best} is first after {} was ended ({reason})", leader.record.node),
            candidates,
        };
        let revision = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.mod_revision);
        let keys = &picture.keys;
        let mut when = vec![
            Compare::CreatedAt(keys.leader(), leader.entry.create_revision),
            Compare::ModifiedAt(keys.term(), term.entry.mod_revision),
            Compare::ModifiedAt(keys.sentinel_set(), set.entry.mod_revision),
            Compare::ModifiedAt(keys.nominee(), revision(picture.nominee.as_ref())),
            Compare::ModifiedAt(keys.pause(), revision(picture.pause.as_ref().map(|pause| &pause.entry))),
        ];
        when.extend(
            cast.iter().map(|(_, vote)| Compare::ModifiedAt(vote.entry.key.clone(), vote.entry.mod_revision)),
        );
        let then = vec![
            Op::Delete(keys.leader()),
            Op::Put { key: keys.nominee(), value: record::write(&nominee), lease: None },
            Op::Put { key: keys.ended(ending.term.0), value: record::write(&ending), lease: None },
        ];
        Some(Deposition { when, then, lease: leader.entry.lease, ending })
    }
}

impl Deposition {
    /// The transaction, with the nomination hung on `lease`.
    pub(crate) fn transaction(&self, nominee: &str, lease: LeaseId) -> (Vec<Compare>, Vec<Op>) {
        let hang = |op: &Op| match op {
            Op::Put { key, value, .. } if key == nominee => {
                Op::Put { key: key.clone(), value: value.clone(), lease: Some(lease) }
            }
            other => other.clone(),
        };
        (self.when.clone(), self.then.iter().map(hang).collect())
    }
}

fn is_fit(candidacy: &Candidacy) -> bool {
    candidacy.refused.is_empty()
}

/// Whether a vote says something else than the one before. Words alone, which grow with time, are no news.
fn is_news(old: &Vote, new: &Vote) -> bool {
    old.against != new.against || class_of(&new.class) > class_of(&old.class)
}

/// The class that a vote names; one of a newer version counts least.
fn class_of(name: &str) -> Class {
    let known = [Class::Silent, Class::Hard].into_iter().find(|class| class.to_string() == name);
    known.unwrap_or(Class::Grey)
}

#[cfg(test)]
#[path = "brain_test.rs"]
mod tests;
