//! Leadership against the leader's will, and what is kept of it: forced failover, pauses, who votes, past terms.
//!
//! All of it is a matter of the coordinator alone, so any master answers, also one that cannot reach the leader.
//! In: requests. Out: transactions bound to what was read before, each with the mark of its request id. Never: asks the
//! leader.
//! Tests: with processes in `tests/tests/t22_sentinels.rs`.

use super::once::Outcome;
use super::status;
use super::{Api, request};
use prost_types::Timestamp;
use serde::de::DeserializeOwned;
use shanty_model::epoch::Epoch;
use shanty_model::id::{NodeId, nearest};
use shanty_proto::v1 as pb;
use shanty_rt::clock;
use shanty_rt::coord::record::{
    self, Beginning, Candidacy, Ending, LeaderInfo, Nominee, Pause, SentinelSet, TermRecord,
};
use shanty_rt::coord::{self, Compare, Entry, NodeInfo, Op};
use shanty_rt::wire::time::{duration, timestamp};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use tonic::Status;

/// Life of a nomination.
const NOMINATION: Duration = Duration::from_secs(3);
/// Terms in one answer, when nobody says how many, and at most.
const TERMS: (u32, u32) = (10, 100);
/// Sentinels that can vote: fewer decide nothing, more only take time.
const VOTERS: RangeInclusive<usize> = SentinelSet::FEWEST..=7;
/// How long sentinels can be told to keep still.
const PAUSES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

impl Api {
    /// Ends the leader's term and says who shall try first. Answers the term that was ended, also when it was ended by this
    /// very request before.
    pub(super) async fn force(&self, asked: pb::ForceFailoverRequest) -> Result<Epoch, Status> {
        let pb::ForceFailoverRequest { target, reason, request_id } = asked;
        let same = pb::ForceFailoverRequest {
            target: target.clone(),
            reason: reason.clone(),
            request_id: String::new(),
        };
        let key = request::key(&request_id, "ForceFailover", &same)?;
        if let Some(done) = self.done(key.as_ref()).await? {
            return Ok(done.term);
        }
        let keys = self.keys();
        let (leader, held) = self.kept::<LeaderInfo>(&keys.leader()).await?.ok_or_else(|| {
            status::precondition("NO_LEADER", "nobody leads: a master takes over by itself within seconds")
        })?;
        let (term, at) = self.kept::<TermRecord>(&keys.term()).await?.ok_or_else(|| {
            status::precondition("NO_TERM", "there is no term yet: wait until a master has led once")
        })?;
        let nominee = self.coord.get(&keys.nominee()).await.map_err(away)?;
        let candidates = self.successors(&target, &leader.node)?;
        let reason = if reason.is_empty() { "forced by an operator".to_owned() } else { reason };
        let ending = Ending {
            term: leader.epoch,
            node: leader.node,
            by: self.me.clone(),
            reason: reason.clone(),
            votes: Vec::new(),
            candidates: candidates.iter().map(|node| candidacy(node.clone())).collect(),
            suspected_unix_ms: 0,
            unix_ms: clock::unix_ms(),
        };
        let nomination = Nominee { for_term: term.term.next(), candidates, by: self.me.clone(), reason };
        let (lease, _) = self.coord.grant(NOMINATION).await.map_err(away)?;
        let mut when = vec![
            Compare::CreatedAt(keys.leader(), held.create_revision),
            Compare::ModifiedAt(keys.term(), at.mod_revision),
            Compare::ModifiedAt(keys.nominee(), nominee.map_or(0, |entry| entry.mod_revision)),
        ];
        let mut then = vec![
            Op::Delete(keys.leader()),
            Op::Put { key: keys.nominee(), value: record::write(&nomination), lease: Some(lease) },
            Op::Put { key: keys.ended(ending.term.0), value: record::write(&ending), lease: None },
        ];
        self.mark(key.as_ref(), ending.term, &mut when, &mut then).await?;
        if !self.coord.txn(when, then).await.map_err(away)?.succeeded {
            let done = self.done(key.as_ref()).await?;
            return done.map(|done| done.term).ok_or_else(|| changed_meanwhile("leadership"));
        }
        tracing::warn!(leader = %ending.node, term = %ending.term, reason = ending.reason, "term ended by force");
        if let Some(lease) = held.lease
            && let Err(error) = self.coord.revoke(lease).await
        {
            tracing::debug!(%error, "the old leader's lease is left to its end");
        }
        Ok(ending.term)
    }

    /// The masters that may follow `leader`: the one asked for, then the others, the best first.
    pub(super) fn successors(&self, target: &str, leader: &NodeId) -> Result<Vec<NodeId>, Status> {
        successors(&self.members.borrow().masters, target, leader)
    }

    /// Keeps sentinels still for a while.
    pub(super) async fn pause(&self, asked: pb::PauseFailoverRequest) -> Result<Outcome, Status> {
        let pb::PauseFailoverRequest { duration: length, reason, request_id } = asked;
        let same =
            pb::PauseFailoverRequest { duration: length, reason: reason.clone(), request_id: String::new() };
        let key = request::key(&request_id, "PauseFailover", &same)?;
        if self.done(key.as_ref()).await?.is_some() {
            return Ok(Outcome::DoneBefore);
        }
        let length = length.as_ref().and_then(duration).filter(|length| PAUSES.contains(length));
        let length = length.ok_or_else(|| status::invalid_field("duration", "must be from 1s to 24h"))?;
        let until_unix_ms = clock::unix_ms() + i64::try_from(length.as_millis()).unwrap_or(0);
        let pause = Pause { until_unix_ms, by: self.me.to_string(), reason };
        let (lease, _) = self.coord.grant(length).await.map_err(away)?;
        let put = Op::Put { key: self.keys().pause(), value: record::write(&pause), lease: Some(lease) };
        let outcome = self.once(key.as_ref(), Vec::new(), put).await?;
        tracing::warn!(?length, reason = pause.reason, "sentinels may end no term for a while");
        Ok(outcome)
    }

    /// Takes a pause back.
    pub(super) async fn resume(&self, asked: pb::ResumeFailoverRequest) -> Result<Outcome, Status> {
        let pb::ResumeFailoverRequest { request_id } = asked;
        let key = request::key(&request_id, "ResumeFailover", &pb::ResumeFailoverRequest::default())?;
        if self.done(key.as_ref()).await?.is_some() {
            return Ok(Outcome::DoneBefore);
        }
        let outcome = self.once(key.as_ref(), Vec::new(), Op::Delete(self.keys().pause())).await?;
        tracing::info!("sentinels may end terms again");
        Ok(outcome)
    }

    /// Adds or removes one sentinel that votes.
    pub(super) async fn change_voters(&self, asked: pb::ChangeSentinelsRequest) -> Result<Outcome, Status> {
        let pb::ChangeSentinelsRequest { add, remove, request_id } = asked;
        let same = pb::ChangeSentinelsRequest {
            add: add.clone(),
            remove: remove.clone(),
            request_id: String::new(),
        };
        let key = request::key(&request_id, "ChangeSentinels", &same)?;
        if self.done(key.as_ref()).await?.is_some() {
            return Ok(Outcome::DoneBefore);
        }
        let node = |field: &str, name: &str| {
            name.parse::<NodeId>().map_err(|error| status::invalid_field(field, error.to_string()))
        };
        let change = match (add.is_empty(), remove.is_empty()) {
            (false, true) => Change::Add(node("add", &add)?),
            (true, false) => Change::Remove(node("remove", &remove)?),
            _ => {
                return Err(status::invalid_field(
                    "add",
                    "name one sentinel to add, or one to remove: one at a time",
                ));
            }
        };
        let keys = self.keys();
        let Some((set, entry)) = self.kept::<SentinelSet>(&keys.sentinel_set()).await? else {
            let message = "no sentinel has run here yet: start three with the same --members first";
            return Err(status::precondition("NO_SENTINELS", message));
        };
        // One that changes nothing is written all the same, for the mark of its id.
        let members = changed(set.members.clone(), change)?.unwrap_or(set.members);
        let when = vec![Compare::ModifiedAt(keys.sentinel_set(), entry.mod_revision)];
        let value = record::write(&SentinelSet { members });
        let put = Op::Put { key: keys.sentinel_set(), value, lease: None };
        match self.once(key.as_ref(), when, put).await? {
            Outcome::Refused => Err(changed_meanwhile("the set of sentinels")),
            done => {
                tracing::warn!(add, remove, "the sentinels that vote changed");
                Ok(done)
            }
        }
    }

    /// The last terms, the newest first.
    pub(super) async fn terms(&self, asked: pb::ListTermsRequest) -> Result<pb::ListTermsResponse, Status> {
        let pb::ListTermsRequest { page_size, page_token } = asked;
        let size = if page_size == 0 { TERMS.0 } else { page_size.min(TERMS.1) };
        let before: Option<u32> = super::page::cursor(&page_token)?;
        let keys = self.keys();
        let mut terms: BTreeMap<u64, pb::Term> = BTreeMap::new();
        for entry in self.coord.list(&keys.terms(false)).await.map_err(away)? {
            if let Some(began) = record::read::<Beginning>(&entry.key, &entry.value) {
                begin(terms.entry(began.term.0).or_default(), &began);
            }
        }
        for entry in self.coord.list(&keys.terms(true)).await.map_err(away)? {
            if let Some(ended) = record::read::<Ending>(&entry.key, &entry.value) {
                end(terms.entry(ended.term.0).or_default(), &ended);
            }
        }
        // Whoever led in these could not say why they ended.
        for term in terms.values_mut().rev().skip(1).filter(|term| term.end_reason.is_empty()) {
            term.end_reason = "its lease ran out".to_owned();
        }
        let wanted = terms.into_iter().rev().filter_map(|(number, term)| {
            let epoch = u32::try_from(number).unwrap_or(u32::MAX);
            before.is_none_or(|before| epoch < before).then_some(pb::Term { epoch, ..term })
        });
        let terms: Vec<pb::Term> = wanted.take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
        let next_page_token = super::page::next(&terms, size, |last| last.epoch.to_string());
        Ok(pb::ListTermsResponse { terms, next_page_token })
    }

    pub(super) fn keys(&self) -> coord::Keys {
        coord::Keys::new(&self.cluster)
    }

    pub(super) async fn kept<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, Entry)>, Status> {
        let entry = self.coord.get(key).await.map_err(away)?;
        Ok(entry.and_then(|entry| Some((record::read(&entry.key, &entry.value)?, entry))))
    }
}

/// Of these masters, those that may follow `leader`: the one asked for, then the others, the best first.
fn successors(
    masters: &BTreeMap<NodeId, NodeInfo>,
    target: &str,
    leader: &NodeId,
) -> Result<Vec<NodeId>, Status> {
    // One of priority 0 leads when nobody else does, or when it is asked for by name.
    let may_follow =
        |info: &&NodeInfo| info.node != *leader && (info.priority > 0 || info.node.as_str() == target);
    let mut others: Vec<_> = masters.values().filter(may_follow).collect();
    others.sort_by_key(|info| (std::cmp::Reverse(info.priority), info.node.counted()));
    let mut candidates: Vec<NodeId> = others.into_iter().map(|info| info.node.clone()).collect();
    if candidates.is_empty() {
        return Err(status::precondition(
            "NO_OTHER_MASTER",
            "no other master is up to lead: start one first, or name one of priority 0 as the target",
        ));
    }
    if !target.is_empty() {
        let node: NodeId = target.parse().map_err(|error: shanty_model::id::InvalidId| {
            status::invalid_field("target", error.to_string())
        })?;
        if node == *leader {
            let message = format!("`{node}` leads already");
            return Err(status::precondition("LEADS_ALREADY", &message));
        }
        let Some(place) = candidates.iter().position(|other| *other == node) else {
            let near = nearest(node.as_str(), candidates.iter().map(NodeId::as_str));
            let near: Vec<String> = near.into_iter().map(str::to_owned).collect();
            return Err(status::not_found("master", node.as_str(), &near));
        };
        let first = candidates.remove(place);
        candidates.insert(0, first);
    }
    Ok(candidates)
}

enum Change {
    Add(NodeId),
    Remove(NodeId),
}

/// The members after a change; none when it changes nothing.
fn changed(mut members: Vec<NodeId>, change: Change) -> Result<Option<Vec<NodeId>>, Status> {
    let (field, few_or_many) = match change {
        Change::Add(node) => {
            if members.contains(&node) {
                return Ok(None);
            }
            members.push(node);
            members.sort();
            ("add", "seven sentinels vote already: more only take time")
        }
        Change::Remove(node) => {
            let Some(place) = members.iter().position(|member| *member == node) else {
                let near: Vec<String> = members.iter().map(ToString::to_string).collect();
                return Err(status::not_found("voting sentinel", node.as_str(), &near));
            };
            members.remove(place);
            ("remove", "three sentinels are the fewest that can decide: add another one first")
        }
    };
    if VOTERS.contains(&members.len()) {
        Ok(Some(members))
    } else {
        Err(status::invalid_field(field, few_or_many))
    }
}

fn candidacy(node: NodeId) -> Candidacy {
    Candidacy { node, score: "as the operator said".to_owned(), refused: String::new() }
}

/// A time that is known.
fn known(unix_ms: i64) -> Option<Timestamp> {
    (unix_ms > 0).then(|| timestamp(unix_ms))
}

fn begin(term: &mut pb::Term, began: &Beginning) {
    term.leader = began.node.resource();
    term.start_time = known(began.unix_ms);
    term.start_reason.clone_from(&began.reason);
}

fn end(term: &mut pb::Term, ended: &Ending) {
    term.leader = ended.node.resource();
    term.end_time = known(ended.unix_ms);
    term.end_reason.clone_from(&ended.reason);
    term.ended_by = ended.by.resource();
    term.suspect_time = known(ended.suspected_unix_ms);
    term.votes = ended
        .votes
        .iter()
        .map(|cast| pb::Vote {
            sentinel: cast.by.resource(),
            evidence: cast.vote.class.clone(),
            message: cast.vote.why.clone(),
        })
        .collect();
    term.candidates = ended
        .candidates
        .iter()
        .map(|candidacy| pb::Candidate {
            master: candidacy.node.resource(),
            score: candidacy.score.clone(),
            refused_reason: candidacy.refused.clone(),
        })
        .collect();
}

pub(super) fn away(error: coord::Error) -> Status {
    status::unavailable("COORDINATOR_AWAY", &format!("{error}: try again"))
}

fn changed_meanwhile(what: &str) -> Status {
    status::unavailable("CHANGED_MEANWHILE", &format!("{what} changed in this moment: look, and try again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::coord::Role;

    #[test]
    fn a_master_of_priority_zero_follows_only_by_name() {
        let master = |name: &str, priority: u32| {
            let node: NodeId = name.parse().unwrap();
            let (address, incarnation, version) = (String::new(), String::new(), String::new());
            (node.clone(), NodeInfo { node, role: Role::Master, address, incarnation, version, priority })
        };
        let masters = BTreeMap::from(
            [("m1", 100), ("m2", 0), ("m3", 100), ("m10", 100), ("m4", 200)]
                .map(|(name, priority)| master(name, priority)),
        );
        let following = |masters: &BTreeMap<NodeId, NodeInfo>, target: &str| {
            let found = successors(masters, target, &"m1".parse().unwrap())?;
            Ok::<_, Status>(found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(following(&masters, "").unwrap(), ["m4", "m3", "m10"]);
        assert_eq!(following(&masters, "m10").unwrap(), ["m10", "m4", "m3"]);
        assert_eq!(following(&masters, "m2").unwrap(), ["m2", "m4", "m3", "m10"]);
        let only = BTreeMap::from([master("m1", 100), master("m2", 0)]);
        let error = following(&only, "").unwrap_err();
        assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{error}");
        assert_eq!(following(&only, "m2").unwrap(), ["m2"]);
        assert_eq!(following(&masters, "m1").unwrap_err().code(), tonic::Code::FailedPrecondition);
        assert_eq!(following(&masters, "m9").unwrap_err().code(), tonic::Code::NotFound);
    }

    #[test]
    fn voters_change_one_at_a_time_and_never_below_three() {
        let node = |name: &str| name.parse::<NodeId>().unwrap();
        let three = || ["s1", "s2", "s3"].map(node).to_vec();
        let four = changed(three(), Change::Add(node("s0"))).unwrap().unwrap();
        assert_eq!(four, ["s0", "s1", "s2", "s3"].map(node));
        assert_eq!(changed(three(), Change::Add(node("s2"))).unwrap(), None);
        assert_eq!(changed(four, Change::Remove(node("s1"))).unwrap().unwrap().len(), 3);
        let error = changed(three(), Change::Remove(node("s1"))).unwrap_err();
        assert!(error.message().contains("fewest"), "{error}");
        let error = changed(three(), Change::Remove(node("s9"))).unwrap_err();
        assert_eq!(error.code(), tonic::Code::NotFound);
        let seven = (1..=7).map(|n| node(&format!("s{n}"))).collect();
        assert!(changed(seven, Change::Add(node("s8"))).is_err());
    }
}
