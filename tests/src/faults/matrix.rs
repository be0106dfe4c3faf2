//! The faults, by the rows of the plan of failover.
//!
//! In: nothing. Out: [`Fault`]s, and what is not among them and why. Never: a row left out without a word.
//! Tests: below.

use super::fault::{Act, Disk, Etcd, Fault, Store, Whom, Worker};
use crate::net::{Fate, Way};

/// Rows that one machine cannot do, or that are done elsewhere, and why.
pub const ABSENT: [(u8, &str, &str); 13] = [
    (
        1,
        "SIGKILL between the fence and the announcement, and of an idle cluster",
        "the simulation kills at every step; the tests t21 and t22 kill idle ones",
    ),
    (3, "standby ↔ standby", "masters do not speak with each other but for handing calls to the leader"),
    (
        5,
        "reorder, 200 ms each way",
        "needs tc netem, which this kernel does not have; the simulation reorders, repeats and delays; what exceeds \
      1 Mbit/s is dropped here, not queued",
    ),
    (
        7,
        "etcd without a quorum for 5 min",
        "10 s are longer than every limit that counts there: lease, gates, registration",
    ),
    (10, "clock of a sentinel", "see row 11"),
    (
        11,
        "clock steps and rates",
        "programs read the clock without libc, so libfaketime does not reach them, and one \
      machine has one clock; the simulation steps wall clocks and lets clocks gain or lose 10 %",
    ),
    (
        12,
        "EIO, slow fsync",
        "needs device-mapper, which this kernel does not have; a read-only disk refuses as well, and \
      a frozen file system is slower than any",
    ),
    (14, "memory pressure", "would take the other parts of the cluster, on the same machine, with it"),
    (
        15,
        "certificates",
        "the test `t25_tls` does it: all of them and their authority are changed under load",
    ),
    (16, "a thousand workers attach again", "the benchmark `reattach` does it"),
    (
        16,
        "5,000 workers; inventories that lie",
        "too many for one machine; the engine's tests bring false inventories",
    ),
    (18, "rolling upgrade", "there is one version yet; a hundred switchovers and a SIGTERM are done"),
    (20, "repeated and late commands", "the engine's tests do it"),
];

const fn part(row: u8, name: &'static str, whom: Whom, way: Option<Way>, within_ms: u64) -> Fault {
    Fault::new(row, name, Act::Part(whom, way, Fate::Drop), within_ms + 2_000, within_ms)
}

const fn lossy(name: &'static str, percent: u8) -> Fault {
    Fault::new(5, name, Act::Part(Whom::All, None, Fate::Loss(percent)), 15_000, 2_500)
}

const fn etcd(row: u8, name: &'static str, what: Etcd, hold_ms: u64) -> Fault {
    Fault::new(row, name, Act::Etcd(what), hold_ms, 3_000).same()
}

const fn worker(name: &'static str, what: Worker, hold_ms: u64) -> Fault {
    Fault::new(17, name, Act::Worker(what), hold_ms, 1_500).same()
}

const KILL: Fault = Fault::new(1, "SIGKILL of the leader", Act::Kill, 3_000, 1_500).undisturbed();
const STOP_3: Fault = Fault::new(2, "SIGSTOP of the leader, 3 s", Act::Stop, 3_000, 2_500);
const CUT: Fault = part(3, "leader ↔ all dropped", Whom::All, None, 2_500);

const LAG_PAST_TERM: &str = "a replica that lags takes its place, with a change of leaders in the lag";

/// All of them.
#[must_use]
pub fn all() -> Vec<Fault> {
    let (out, come) = (Some(Way::Out), Some(Way::In));
    vec![
        KILL,
        Fault::new(1, "SIGKILL of the leader, up again at once", Act::Kill, 0, 1_500).undisturbed(),
        Fault::new(1, "SIGKILL of the leader and of its successor in the act", Act::KillTwice, 4_000, 5_000),
        Fault::new(2, "SIGSTOP of the leader, 0.4 s", Act::Stop, 400, 1_500).same(),
        STOP_3,
        Fault::new(2, "SIGSTOP of the leader, 30 s", Act::Stop, 30_000, 2_500),
        CUT,
        part(3, "leader ↔ etcd dropped", Whom::Etcd, None, 6_500),
        part(3, "leader ↔ workers dropped", Whom::Workers, None, 6_000).settled(),
        part(3, "leader ↔ sentinels dropped", Whom::Sentinels, None, 1_500).same(),
        part(3, "leader ↔ store dropped", Whom::Store, None, 8_000),
        part(4, "leader → all dropped", Whom::All, out, 2_500),
        part(4, "all → leader dropped", Whom::All, come, 2_500),
        part(4, "leader → etcd dropped", Whom::Etcd, out, 6_500),
        part(4, "etcd → leader dropped", Whom::Etcd, come, 6_500),
        part(4, "leader → workers dropped", Whom::Workers, out, 6_000).settled(),
        part(4, "workers → leader dropped", Whom::Workers, come, 6_000).settled(),
        part(4, "leader → sentinels dropped", Whom::Sentinels, out, 1_500).same(),
        part(4, "sentinels → leader dropped", Whom::Sentinels, come, 1_500).same(),
        part(4, "leader → store dropped", Whom::Store, out, 8_000),
        part(4, "store → leader dropped", Whom::Store, come, 8_000),
        Fault::new(5, "leader ↔ all reset", Act::Part(Whom::All, None, Fate::Reset), 3_000, 2_500),
        lossy("leader ↔ all, 5 % lost, 15 s", 5).same(),
        lossy("leader ↔ all, 30 % lost, 15 s", 30).any(),
        Fault::new(
            5,
            "leader ↔ all, 1 Mbit/s, 15 s",
            Act::Part(Whom::All, None, Fate::Narrow(125)),
            15_000,
            2_500,
        )
        .any(),
        etcd(6, "SIGKILL of an etcd follower", Etcd::KillFollower, 3_000),
        etcd(6, "SIGKILL of the etcd leader", Etcd::KillLeader, 5_000),
        etcd(6, "SIGSTOP of an etcd follower, 5 s", Etcd::StopFollower, 5_000),
        etcd(6, "SIGSTOP of the etcd leader, 5 s", Etcd::StopLeader, 5_000),
        etcd(6, "etcd's leader moved, three times", Etcd::MoveLeader, 4_000).times(3),
        etcd(7, "etcd without a quorum, 10 s", Etcd::LoseQuorum, 10_000).after_healing().frozen_after(5_000),
        // An old leader of etcd 3.4 that wakes takes all leases for expired.
        etcd(7, "two members of etcd stopped, 10 s", Etcd::StopQuorum, 10_000)
            .any()
            .after_healing()
            .frozen_after(5_000),
        Fault::new(8, "history cut off in a gap, then SIGKILL", Act::Etcd(Etcd::Compact), 3_000, 2_500),
        etcd(8, "defragmentation of the etcd leader", Etcd::Defragment, 1_000),
        etcd(8, "etcd is out of space, 8 s", Etcd::NoSpace, 8_000),
        // Its lease ends after 5 s; until there is room nobody can take the next one.
        Fault::new(8, "etcd is out of space, then SIGKILL", Act::Etcd(Etcd::NoSpaceThenKill), 9_000, 3_000)
            .after_healing()
            .frozen_after(1_000),
        // The snapshot's leader key is back as well, and has to run out.
        Fault::new(8, "etcd set back to before a term", Act::Etcd(Etcd::Restore), 6_000, 9_000)
            .any()
            .after_healing()
            .frozen_after(5_000),
        Fault::new(9, "one sentinel dead, then SIGKILL", Act::Sentinels(1), 3_000, 1_500),
        Fault::new(9, "two sentinels dead, then SIGKILL", Act::Sentinels(2), 7_000, 6_500),
        Fault::new(9, "all sentinels dead, then SIGKILL", Act::Sentinels(3), 7_000, 6_500),
        Fault::new(10, "a sentinel stopped as it votes", Act::StopVoter, 7_000, 6_500),
        Fault::new(12, "the leader's disk is full", Act::Disk(Disk::Full), 8_500, 8_000),
        Fault::new(12, "the leader's disk takes no writes", Act::Disk(Disk::ReadOnly), 8_500, 8_000),
        Fault::new(12, "the leader's disk hangs", Act::Disk(Disk::Hung), 8_500, 8_000),
        Fault::new(12, "a worker's disk is full, then SIGKILL", Act::WorkerDisk(Disk::Full), 8_500, 1_500),
        Fault::new(12, "a worker's disk hangs, then SIGKILL", Act::WorkerDisk(Disk::Hung), 8_500, 1_500),
        Fault::new(12, "the sentinels' disks are full, then SIGKILL", Act::SentinelDisks, 3_000, 1_500),
        Fault::new(13, "SIGKILL of the store", Act::Store(Store::Kill), 3_000, 8_000).any().after_healing(),
        Fault::new(13, "SIGSTOP of the store, 5 s", Act::Store(Store::Freeze), 5_000, 8_000)
            .any()
            .after_healing(),
        Fault::new(13, "the store takes no writes, 5 s", Act::Store(Store::ReadOnly), 5_000, 8_000)
            .any()
            .after_healing(),
        Fault::new(13, "each answer of the store takes 2 s, 8 s long", Act::Store(Store::Slow), 8_000, 8_000)
            .any()
            .after_healing(),
        Fault::new(13, "a replica that lags takes the store's place", Act::Store(Store::Lag), 4_000, 8_000)
            .any()
            .forgets(),
        Fault::new(13, LAG_PAST_TERM, Act::Store(Store::LagPastTerm), 4_000, 8_000).any().forgets(),
        Fault::new(14, "the leader gets no processor, 4 s", Act::Starve, 4_000, 8_000).any(),
        Fault::new(14, "the leader can open no files, 5 s", Act::Descriptors, 5_000, 8_000).any(),
        Fault::new(14, "6,000 connections that say nothing, 5 s", Act::Crowd, 5_000, 8_000).any(),
        worker("SIGKILL of a worker", Worker::Kill, 4_000),
        worker("SIGSTOP of a worker, 6 s", Worker::Stop, 6_000),
        worker("a worker parted from all masters, 6 s", Worker::Part, 6_000),
        worker("a second worker of the same name", Worker::Double, 3_000),
        Fault::new(18, "switchover, a hundred times", Act::Switchover, 0, 500).times(100).undisturbed(),
        Fault::new(18, "SIGTERM of the leader", Act::Term, 2_000, 500).undisturbed(),
        Fault::new(19, "SIGKILL of the leader and of the etcd leader", Act::KillWithEtcd, 6_000, 5_000),
        Fault::new(19, "SIGKILL of the leader and of the first standby", Act::KillWithHeir, 6_000, 10_000),
        Fault::new(19, "SIGKILL of the leader and of the store", Act::KillWithStore, 3_000, 10_000)
            .after_healing(),
    ]
}

/// Those whose figures are wanted, each many times: taken back as soon as they are survived.
#[must_use]
pub fn measured() -> Vec<Fault> {
    let named = |name: &str| all().into_iter().find(|fault| fault.name == name);
    let each = [
        "SIGKILL of the leader",
        "SIGSTOP of the leader, 3 s",
        "leader ↔ all dropped",
        "leader ↔ store dropped",
        "the leader's disk hangs",
        "switchover, a hundred times",
        "all sentinels dead, then SIGKILL",
    ];
    each.into_iter().filter_map(named).map(|fault| fault.times(1).until_dispatched()).collect()
}

/// A few that are always done.
#[must_use]
pub fn short() -> Vec<Fault> {
    let quorum =
        etcd(7, "etcd without a quorum, 6 s", Etcd::LoseQuorum, 6_000).after_healing().frozen_after(5_000);
    vec![KILL, STOP_3, CUT, quorum]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_of_the_plan_is_done_or_has_a_word() {
        let done: BTreeSet<u8> = all().iter().map(|fault| fault.row).collect();
        let said: BTreeSet<u8> = ABSENT.iter().map(|(row, ..)| *row).collect();
        let missing: Vec<u8> = (1..=20).filter(|row| !done.contains(row) && !said.contains(row)).collect();
        assert_eq!(missing, Vec::<u8>::new());
    }

    #[test]
    fn what_is_measured_is_in_the_matrix() {
        assert_eq!(measured().len(), 7);
    }

    #[test]
    fn names_are_different_and_the_short_selection_is_short() {
        let names: BTreeSet<&str> = all().iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), all().len());
        let seconds: u64 = short().iter().map(|fault| fault.hold.as_secs()).sum();
        assert!(seconds < 20, "{seconds} s of faults");
    }
}
