//! A fault as a value: what is done, how long it lasts, what is expected.
//!
//! In: nothing. Out: [`Fault`]. Never: does anything. Tests: `matrix.rs`.

use crate::net::{Fate, Way};
use std::time::Duration;

/// Which part of the cluster a master is parted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Everybody.
    All,
    /// The members of etcd.
    Etcd,
    /// The workers.
    Workers,
    /// The sentinels.
    Sentinels,
    /// The store.
    Store,
}

/// What is done to etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Etcd {
    /// SIGKILL to a member that follows.
    KillFollower,
    /// SIGKILL to the member that leads.
    KillLeader,
    /// SIGSTOP to a member that follows.
    StopFollower,
    /// SIGSTOP to the member that leads.
    StopLeader,
    /// The group is handed to another member.
    MoveLeader,
    /// SIGKILL to two of three.
    LoseQuorum,
    /// SIGSTOP to two of three.
    StopQuorum,
    /// Masters and sentinels hear nothing of etcd for a moment, in which its history is cut off; then the leader is killed.
    Compact,
    /// Defragmentation of the member that leads.
    Defragment,
    /// It is filled until it takes no writes.
    NoSpace,
    /// The same, then SIGKILL to the leader.
    NoSpaceThenKill,
    /// After a change of leaders it is set back to a snapshot from before it.
    Restore,
}

/// What is wrong with the disk of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It is full.
    Full,
    /// It takes no writes.
    ReadOnly,
    /// Writes do not come back.
    Hung,
}

/// What is done to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// SIGKILL.
    Kill,
    /// SIGSTOP to all its processes.
    Freeze,
    /// It takes no writes.
    ReadOnly,
    /// Each answer takes two seconds.
    Slow,
    /// A replica that lags takes its place.
    Lag,
    /// The same, and the leader changed while it lagged: the store's epoch goes back.
    LagPastTerm,
}

/// What is done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// It is parted from all masters, and goes on with what it holds.
    Part,
    /// A second process with its name is started.
    Double,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL to the leader.
    Kill,
    /// SIGKILL to the leader, and to its successor as soon as it has the leader key.
    KillTwice,
    /// SIGSTOP to the leader.
    Stop,
    /// SIGTERM to the leader.
    Term,
    /// The leader is asked to hand over.
    Switchover,
    /// The leader is parted from others; both ways when none is named.
    Part(Whom, Option<Way>, Fate),
    /// Something happens to etcd.
    Etcd(Etcd),
    /// SIGKILL to so many sentinels, then to the leader.
    Sentinels(usize),
    /// SIGSTOP to the leader, and to the first sentinel that votes against it.
    StopVoter,
    /// The leader's disk.
    Disk(Disk),
    /// A worker's disk, then SIGKILL to the leader: a new term is what a worker writes down.
    WorkerDisk(Disk),
    /// The disks that all sentinels' logs go to are full, then SIGKILL to the leader.
    SentinelDisks,
    /// The store.
    Store(Store),
    /// The leader gets only what is left of the processors, and nothing is.
    Starve,
    /// The leader can open no more files.
    Descriptors,
    /// Connections that say nothing fill what the leader may hold, and the queue before its door.
    Crowd,
    /// A worker.
    Worker(Worker),
    /// SIGKILL to the leader and to the member that leads etcd.
    KillWithEtcd,
    /// SIGKILL to the leader and to the standby that ranks first by its name.
    KillWithHeir,
    /// SIGKILL to the leader and to the store.
    KillWithStore,
}

/// Who leads afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// The same master, in the same term.
    Same,
    /// Another term has begun.
    Next,
    /// Either is fine.
    Any,
}

/// A fault and what is expected of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// Its row in the plan.
    pub row: u8,
    /// What it is, for people.
    pub name: &'static str,
    /// What is done.
    pub act: Act,
    /// How long it lasts before it is taken back.
    pub hold: Duration,
    /// It is taken back as soon as a run was dispatched, however long that takes.
    pub until_dispatched: bool,
    /// It is done on a new cluster, whose leader has led for longer than sentinels leave it in peace on half a reason.
    pub settled: bool,
    /// A kind of evidence on which sentinels shall have ended a term.
    pub evidence: Option<&'static str>,
    /// How often it is done while one load run goes on.
    pub times: usize,
    /// Who leads afterwards.
    pub leads: Leads,
    /// A run that is asked for after the fault shall run within this time.
    pub within: Duration,
    /// The time counts from when the fault is taken back: before that nobody can lead.
    pub after_healing: bool,
    /// No window of the load's arrivals may be off.
    pub undisturbed: bool,
    /// From this long after the fault nothing may be accepted until it is taken back.
    pub frozen_after: Option<Duration>,
    /// The store loses what it took for a while, as a replica that lagged does: no fence brings that back. Runs and figures
    /// of that while may be gone, nothing else.
    pub forgets: bool,
}

impl Fault {
    /// A fault after which another master leads, within this time.
    pub(super) const fn new(row: u8, name: &'static str, act: Act, hold_ms: u64, within_ms: u64) -> Fault {
        Fault {
            row,
            name,
            act,
            hold: Duration::from_millis(hold_ms),
            until_dispatched: false,
            settled: false,
            evidence: None,
            times: 1,
            leads: Leads::Next,
            within: Duration::from_millis(within_ms),
            after_healing: false,
            undisturbed: false,
            frozen_after: None,
            forgets: false,
        }
    }

    /// The same master goes on leading.
    pub(super) const fn same(self) -> Fault {
        Fault { leads: Leads::Same, ..self }
    }

    /// On a new cluster whose leader is settled, so that sentinels may end its term on half a reason, as they shall.
    pub(super) const fn settled(self) -> Fault {
        Fault { settled: true, evidence: Some("GREY"), ..self }
    }

    /// Whoever leads.
    pub(super) const fn any(self) -> Fault {
        Fault { leads: Leads::Any, ..self }
    }

    /// The load must not notice.
    pub(super) const fn undisturbed(self) -> Fault {
        Fault { undisturbed: true, ..self }
    }

    /// Done so often.
    pub(super) const fn times(self, times: usize) -> Fault {
        Fault { times, ..self }
    }

    /// Nobody can lead until it is taken back.
    pub(super) const fn after_healing(self) -> Fault {
        Fault { after_healing: true, ..self }
    }

    /// Nothing may be accepted from so long after the fault on.
    pub(super) const fn frozen_after(self, ms: u64) -> Fault {
        Fault { frozen_after: Some(Duration::from_millis(ms)), ..self }
    }

    /// Taken back as soon as a run was dispatched.
    pub(super) const fn until_dispatched(self) -> Fault {
        Fault { until_dispatched: true, ..self }
    }

    /// About how long it takes each time, until the cluster is whole again.
    #[must_use]
    pub fn takes(&self) -> Duration {
        if self.until_dispatched {
            self.within / 2 + Duration::from_millis(2500)
        } else if self.hold.is_zero() {
            Duration::from_secs(1)
        } else {
            self.hold + Duration::from_secs(4)
        }
    }

    /// The store loses what it took for a while.
    pub(super) const fn forgets(self) -> Fault {
        Fault { forgets: true, ..self }
    }

    /// Whether it can be done without network namespaces.
    #[must_use]
    pub fn needs_world(&self) -> bool {
        matches!(self.act, Act::Part(..) | Act::Worker(Worker::Part) | Act::Etcd(Etcd::Compact))
    }

    /// Whether the store is there all the time, so that no master has a reason to end.
    #[must_use]
    pub fn spares_store(&self) -> bool {
        !matches!(self.act, Act::KillWithStore | Act::Store(_))
    }

    /// Whether every worker lives and stays in reach of those that lead.
    #[must_use]
    pub fn spares_workers(&self) -> bool {
        !matches!(self.act, Act::Worker(_) | Act::WorkerDisk(_))
    }
}
