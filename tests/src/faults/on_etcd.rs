//! What is done to etcd.
//!
//! In: a stage, an [`Etcd`]. Out: what takes it back. Never: leaves anything undone that an undo does not name.
//! Tests: `tests/tests/t70_faults.rs`.

use super::act::Undo;
use super::fault::{Etcd, Whom};
use super::stage::Stage;
use crate::net::{Place, Rule};
use crate::patience::asked;
use shanty_rt::coord::{Coord as _, Error, Op};
use std::time::Duration;

/// Keys that nobody reads.
pub(super) const NOISE: &str = "/noise/";

impl Stage {
    /// Does it to etcd. Answers what takes it back.
    pub(super) async fn etcd(&mut self, what: Etcd, leader: usize) -> Result<Vec<Undo>, String> {
        let leads = self.etcd.raft_leader().ok_or("etcd has no leader")?;
        let follows = (leads + 1) % 3;
        Ok(match what {
            Etcd::KillFollower => {
                self.etcd.kill(follows);
                vec![Undo::Etcd(follows)]
            }
            Etcd::KillLeader => {
                self.etcd.kill(leads);
                vec![Undo::Etcd(leads)]
            }
            Etcd::StopFollower => {
                self.etcd.pause(follows);
                vec![Undo::WakeEtcd(follows)]
            }
            Etcd::StopLeader => {
                self.etcd.pause(leads);
                vec![Undo::WakeEtcd(leads)]
            }
            Etcd::LoseQuorum => {
                self.etcd.kill(leads);
                self.etcd.kill(follows);
                vec![Undo::Etcd(leads), Undo::Etcd(follows)]
            }
            Etcd::StopQuorum => {
                self.etcd.pause(leads);
                self.etcd.pause(follows);
                vec![Undo::WakeEtcd(leads), Undo::WakeEtcd(follows)]
            }
            Etcd::MoveLeader => {
                if !self.etcd.move_leader() {
                    return Err("etcd's leader does not move".to_owned());
                }
                Vec::new()
            }
            Etcd::Defragment => {
                let (done, said) = self.etcd.ctl(leads, &["defrag"]);
                if !done {
                    return Err(format!("no defragmentation: {said}"));
                }
                Vec::new()
            }
            Etcd::Compact => self.compact(leader).await?,
            Etcd::NoSpace | Etcd::NoSpaceThenKill => {
                self.fill_etcd().await?;
                vec![Undo::Room]
            }
            Etcd::Restore => {
                let snapshot = self.cluster.folder().join("etcd.snapshot");
                let (done, said) =
                    self.etcd.ctl(leads, &["snapshot", "save", &snapshot.display().to_string()]);
                if !done {
                    return Err(format!("no snapshot: {said}"));
                }
                self.next_term(leader).await?;
                self.etcd.set_back(&snapshot)?;
                vec![Undo::SetBackEtcd]
            }
        })
    }

    /// All but the leader hear nothing of etcd for a moment, in which its history is cut off.
    async fn compact(&mut self, leader: usize) -> Result<Vec<Undo>, String> {
        let standbys = self.cluster.masters.iter().enumerate().filter(|(at, _)| *at != leader);
        let nodes = standbys.map(|(_, node)| node).chain(&self.cluster.sentinels);
        let places: Vec<Place> = nodes.filter_map(|node| node.place.clone()).collect();
        let away = Rule::both(self.peers(Whom::Etcd), crate::net::Fate::Reset);
        places.iter().for_each(|place| place.rules(&away));
        let cut = || -> Result<(), String> {
            let mut last = String::new();
            for _ in 0..20 {
                last = self.etcd.ctl(0, &["put", "/noise", "x", "--write-out=json"]).1;
            }
            let revision = last.split("\"revision\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
            let revision = revision.ok_or_else(|| format!("etcd said no revision: {last}"))?;
            let (done, said) = self.etcd.ctl(0, &["compact", revision]);
            if done { Ok(()) } else { Err(format!("no compaction: {said}")) }
        };
        let done = cut();
        places.iter().for_each(|place| place.rules(&[]));
        done?;
        // They come back from a revision that is gone; a leader's death right then would test the relapse of connections.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Vec::new())
    }

    /// Big values, until etcd takes none any more.
    async fn fill_etcd(&self) -> Result<(), String> {
        let mut made = 0;
        asked("etcd is full", Duration::from_secs(60), async || {
            made += 1;
            let key = format!("{NOISE}{made}");
            let put = Op::Put { key, value: vec![b'x'; 1 << 20], lease: None };
            match self.coord.txn(Vec::new(), vec![put]).await {
                Err(Error::Refused(why)) if why.contains("out of space") => Ok(()),
                other => Err(format!("{made}: {other:?}")),
            }
        })
        .await
    }
}
