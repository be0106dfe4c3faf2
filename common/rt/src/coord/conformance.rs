//! What every coordinator must do: one suite, run on each.
//!
//! In: a coordinator, empty or not (the suite works below a prefix of its own). Out: the first check that
//! does not hold, and why.
//! Tests: it is one.

use super::{Compare, Coord, Entry, Error, LeaseId, Op, WatchEvent};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;

/// A check that did not hold.
#[derive(Debug, thiserror::Error)]
#[error("{check}: {why}")]
pub struct Broken {
    /// Its name.
    pub check: &'static str,
    /// What was seen.
    pub why: String,
}

/// Waits for what must come; a coordinator that expires leases in batches still makes it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs all checks.
///
/// # Errors
/// The first that does not hold.
pub async fn run(coord: Arc<dyn Coord>) -> Result<(), Broken> {
    let root = format!("/conformance/{}/", uuid::Uuid::new_v4());
    let bench = Bench { coord, root };
    let checks: [(&'static str, Check); 9] = [
        ("keys come back as they were put", |b| Box::pin(b.round_trip())),
        ("a transaction is done whole or not at all", |b| Box::pin(b.all_or_nothing())),
        ("a key made anew is not the key it was", |b| Box::pin(b.aba())),
        ("a list is sorted and stays below its prefix", |b| Box::pin(b.list_order())),
        ("a lease takes its keys with it", |b| Box::pin(b.revoked())),
        ("a lease that is gone cannot be used", |b| Box::pin(b.gone())),
        ("a lease lives while renewed and ends when not", |b| Box::pin(b.expiry())),
        ("a key that is put again leaves its lease", |b| Box::pin(b.moved())),
        ("a watch tells what is, then what becomes", |b| Box::pin(b.watched())),
    ];
    for (check, body) in checks {
        body(&bench).await.map_err(|why| Broken { check, why })?;
    }
    Ok(())
}

type Check = for<'b> fn(&'b Bench) -> BoxFuture<'b, Result<(), String>>;

struct Bench {
    coord: Arc<dyn Coord>,
    root: String,
}

fn text(error: Error) -> String {
    error.to_string()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: got {got:?}, wanted {wanted:?}")) }
}

impl Bench {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    fn put(&self, name: &str, value: &[u8], lease: Option<LeaseId>) -> Op {
        Op::Put { key: self.key(name), value: value.to_vec(), lease }
    }

    fn delete(&self, name: &str) -> Op {
        Op::Delete(self.key(name))
    }

    /// A transaction that must be known to have been done or not.
    async fn txn(&self, when: Vec<Compare>, then: Vec<Op>) -> Result<(bool, i64), String> {
        let outcome = self.coord.txn(when, then).await.map_err(text)?;
        Ok((outcome.succeeded, outcome.revision))
    }

    async fn get(&self, name: &str) -> Result<Option<Entry>, String> {
        self.coord.get(&self.key(name)).await.map_err(text)
    }

    async fn entry(&self, name: &str) -> Result<Entry, String> {
        self.get(name).await?.ok_or_else(|| format!("`{name}` is not there"))
    }

    async fn round_trip(&self) -> Result<(), String> {
        let every_byte: Vec<u8> = (0..=255).collect();
        let (done, revision) =
            self.txn(vec![], vec![self.put("a", &every_byte, None), self.put("empty", b"", None)]).await?;
        same("succeeded", &done, &true)?;
        let entry = Entry {
            key: self.key("a"),
            value: every_byte,
            create_revision: revision,
            mod_revision: revision,
            lease: None,
        };
        same("entry", &self.entry("a").await?, &entry)?;
        same("empty value", &self.entry("empty").await?.value, &Vec::new())?;
        same("absent key", &self.get("nothing").await?, &None)?;

        let (_, later) = self.txn(vec![], vec![self.put("a", b"2", None)]).await?;
        let changed = Entry { value: b"2".to_vec(), mod_revision: later, ..entry };
        same("changed entry", &self.entry("a").await?, &changed)?;
        if later <= revision {
            return Err(format!("revisions do not grow: {later} after {revision}"));
        }
        let (done, _) = self.txn(vec![], vec![self.delete("a"), self.delete("nothing")]).await?;
        same("delete succeeded", &done, &true)?;
        same("deleted", &self.get("a").await?, &None)
    }

    async fn all_or_nothing(&self) -> Result<(), String> {
        let (_, at) = self.txn(vec![], vec![self.put("b", b"1", None)]).await?;
        let b = self.key("b");
        let refused = [
            vec![Compare::Absent(b.clone())],
            vec![Compare::CreatedAt(b.clone(), at - 1)],
            vec![Compare::ModifiedAt(b.clone(), at + 1)],
            vec![Compare::ModifiedAt(b.clone(), 0)],
            vec![Compare::CreatedAt(b.clone(), at), Compare::Absent(b.clone())],
        ];
        for when in refused {
            let shown = format!("{when:?}");
            let (done, _) =
                self.txn(when, vec![self.put("b", b"2", None), self.put("c", b"2", None)]).await?;
            same(&shown, &done, &false)?;
        }
        same("untouched", &self.entry("b").await?.value, &b"1".to_vec())?;
        same("never made", &self.get("c").await?, &None)?;

        let holds = vec![
            Compare::CreatedAt(b.clone(), at),
            Compare::ModifiedAt(b, at),
            Compare::Absent(self.key("c")),
            Compare::ModifiedAt(self.key("c"), 0),
        ];
        let (done, revision) =
            self.txn(holds, vec![self.put("b", b"2", None), self.put("c", b"2", None)]).await?;
        same("all hold", &done, &true)?;
        let (b, c) = (self.entry("b").await?, self.entry("c").await?);
        same("one revision", &(b.mod_revision, c.mod_revision), &(revision, revision))?;
        same("created then, changed now", &(b.create_revision, c.create_revision), &(at, revision))?;
        match self.coord.txn(vec![], vec![self.put("b", b"3", None), self.delete("b")]).await {
            Err(Error::Refused(_)) => Ok(()),
            other => Err(format!("a key twice in one transaction: {other:?}")),
        }
    }

    /// The value is the same again, the key is not: what a leader key must tell apart.
    async fn aba(&self) -> Result<(), String> {
        let key = self.key("aba");
        let (_, first) = self.txn(vec![], vec![self.put("aba", b"m1", None)]).await?;
        self.txn(vec![], vec![self.delete("aba")]).await?;
        let (_, second) = self.txn(vec![], vec![self.put("aba", b"m1", None)]).await?;
        let (done, _) =
            self.txn(vec![Compare::CreatedAt(key.clone(), first)], vec![self.delete("aba")]).await?;
        same("the first key's revision", &done, &false)?;
        let (done, _) = self.txn(vec![Compare::CreatedAt(key, second)], vec![self.delete("aba")]).await?;
        same("the second key's revision", &done, &true)
    }

    async fn list_order(&self) -> Result<(), String> {
        let names = ["list/b", "list/a", "list/a/1", "lisu", "list"];
        self.txn(vec![], names.iter().map(|name| self.put(name, b"", None)).collect()).await?;
        let entries = self.coord.list(&self.key("list/")).await.map_err(text)?;
        let keys: Vec<String> = entries.into_iter().map(|entry| entry.key).collect();
        same("keys", &keys, &vec![self.key("list/a"), self.key("list/a/1"), self.key("list/b")])?;
        let none = self.coord.list(&self.key("nobody/")).await.map_err(text)?;
        same("an empty list", &none, &Vec::new())
    }

    async fn revoked(&self) -> Result<(), String> {
        let (lease, _) = self.coord.grant(Duration::from_secs(60)).await.map_err(text)?;
        self.txn(vec![], vec![self.put("r1", b"", Some(lease)), self.put("r2", b"", Some(lease))]).await?;
        same("lease of the key", &self.entry("r1").await?.lease, &Some(lease))?;
        self.coord.revoke(lease).await.map_err(text)?;
        same("r1", &self.get("r1").await?, &None)?;
        same("r2", &self.get("r2").await?, &None)?;
        self.coord.revoke(lease).await.map_err(|error| format!("revoked again: {error}"))
    }

    async fn gone(&self) -> Result<(), String> {
        let (lease, _) = self.coord.grant(Duration::from_secs(60)).await.map_err(text)?;
        self.coord.revoke(lease).await.map_err(text)?;
        match self.coord.keep_alive(lease).await {
            Err(Error::LeaseGone) => {}
            other => return Err(format!("keep_alive: {other:?}")),
        }
        match self.coord.txn(vec![], vec![self.put("g1", b"", None), self.put("g2", b"", Some(lease))]).await
        {
            Err(Error::LeaseGone) => {}
            other => return Err(format!("put: {other:?}")),
        }
        same("the rest of that transaction", &self.get("g1").await?, &None)
    }

    async fn expiry(&self) -> Result<(), String> {
        let asked = Duration::from_secs(1);
        let (lease, granted) = self.coord.grant(asked).await.map_err(text)?;
        if granted < asked {
            return Err(format!("granted {granted:?}, less than the {asked:?} asked for"));
        }
        self.txn(vec![], vec![self.put("e", b"", Some(lease))]).await?;
        let mut watch = self.coord.watch(&self.key("e"));
        next(&mut watch).await?;
        // Half as long again as it was granted for, in steps that a renewal survives.
        for _ in 0..6 {
            tokio::time::sleep(granted / 4).await;
            let left = self.coord.keep_alive(lease).await.map_err(text)?;
            if left < asked {
                return Err(format!("renewed for {left:?} only"));
            }
        }
        self.entry("e").await?;
        match next(&mut watch).await? {
            WatchEvent::Delete { key, .. } => same("key that expired", &key, &self.key("e"))?,
            other => return Err(format!("wanted the key's end, saw {other:?}")),
        }
        same("expired key", &self.get("e").await?, &None)?;
        match self.coord.keep_alive(lease).await {
            Err(Error::LeaseGone) => Ok(()),
            other => Err(format!("keep_alive of an expired lease: {other:?}")),
        }
    }

    async fn moved(&self) -> Result<(), String> {
        let (first, _) = self.coord.grant(Duration::from_secs(60)).await.map_err(text)?;
        let (second, _) = self.coord.grant(Duration::from_secs(60)).await.map_err(text)?;
        self.txn(vec![], vec![self.put("m1", b"", Some(first)), self.put("m2", b"", Some(first))]).await?;
        self.txn(vec![], vec![self.put("m1", b"", Some(second)), self.put("m2", b"", None)]).await?;
        self.coord.revoke(first).await.map_err(text)?;
        same("lease of m1", &self.entry("m1").await?.lease, &Some(second))?;
        same("lease of m2", &self.entry("m2").await?.lease, &None)?;
        self.coord.revoke(second).await.map_err(text)?;
        same("m1", &self.get("m1").await?, &None)
    }

    async fn watched(&self) -> Result<(), String> {
        let (lease, _) = self.coord.grant(Duration::from_secs(60)).await.map_err(text)?;
        self.txn(vec![], vec![self.put("w/old", b"1", None), self.put("x", b"", None)]).await?;
        let mut watch = self.coord.watch(&self.key("w/"));
        let old = self.entry("w/old").await?;
        same("first", &next(&mut watch).await?, &WatchEvent::Snapshot(vec![old.clone()]))?;

        // As many changes at once as two nodes make in a busy second, none lost, none out of order.
        for i in 0u8..50 {
            self.txn(vec![], vec![self.put("w/new", &[i], Some(lease)), self.put("x", &[i], None)]).await?;
        }
        for i in 0u8..50 {
            match next(&mut watch).await? {
                WatchEvent::Put(entry) => {
                    same("key", &entry.key, &self.key("w/new"))?;
                    same("value", &entry.value, &vec![i])?;
                    same("lease", &entry.lease, &Some(lease))?;
                }
                other => return Err(format!("wanted put {i}, saw {other:?}")),
            }
        }
        let (_, revision) = self.txn(vec![], vec![self.delete("w/old")]).await?;
        same("delete", &next(&mut watch).await?, &WatchEvent::Delete { key: old.key, revision })?;
        self.coord.revoke(lease).await.map_err(text)?;
        match next(&mut watch).await? {
            WatchEvent::Delete { key, .. } => same("key of the lease", &key, &self.key("w/new"))?,
            other => return Err(format!("wanted the leased key's end, saw {other:?}")),
        }
        let mut late = self.coord.watch(&self.key("w/"));
        same("a watch from now", &next(&mut late).await?, &WatchEvent::Snapshot(Vec::new()))
    }
}

async fn next(watch: &mut BoxStream<'static, WatchEvent>) -> Result<WatchEvent, String> {
    match tokio::time::timeout(PATIENCE, watch.next()).await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err("the watch ended".to_owned()),
        Err(_) => Err(format!("the watch told nothing for {PATIENCE:?}")),
    }
}
