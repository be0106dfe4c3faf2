//! What a failover needs: three members of etcd, three masters, three sentinels, three workers and a target, all on this
//! machine.
//!
//! The masters share a file of SQLite: each transaction takes the file's write lock first and reads the fence row under
//! it, so a master of an older term writes no more. That a stopped process would keep the lock is why masters on several
//! machines have a server instead.
//! In: a crew. Out: the way to the cluster, once all of it is ready.
//! Tests: below; `cli/tests/demo.rs`.

use super::crew::Crew;
use super::ports;
use super::stage::{WORKERS, cluster_now, folder, start_workers, until_ready};
use crate::context::Context;
use crate::error::Error;
use crate::node;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The masters; the first one leads first.
const MASTERS: [&str; 3] = ["m1", "m2", "m3"];
/// The sentinels.
const SENTINELS: [&str; 3] = ["s1", "s2", "s3"];
/// Members of etcd.
const MEMBERS: [&str; 3] = ["e1", "e2", "e3"];
/// Where Debian puts servers, whether or not a user's PATH says so.
const PLACES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// A cluster that can lose its leader.
pub(super) struct Fleet {
    /// The way to it, by any of its masters.
    pub(super) cx: Context,
    /// Its masters with their addresses.
    pub(super) masters: Vec<(&'static str, String)>,
    /// The URL of the target.
    pub(super) target: String,
    /// Where the target writes down what comes.
    pub(super) record: PathBuf,
}

/// Starts everything and waits until it is ready.
///
/// # Errors
/// When there is no etcd here, or something does not start.
pub(super) async fn gather(cx: &Context, crew: &mut Crew) -> Result<Fleet, Error> {
    let etcd = find(std::env::var_os("PATH").as_deref(), &PLACES).ok_or_else(|| {
        Error::local(
            "there is no etcd on this machine, and a failover needs one",
            "apt-get install etcd-server",
        )
    })?;
    let addresses = ports::free(MEMBERS.len() * 2 + MASTERS.len() + 1)?;
    let (members, rest) = addresses.split_at(MEMBERS.len() * 2);
    let (masters, target) = rest.split_at(MASTERS.len());
    let target = target.first().map(String::as_str).unwrap_or_default();
    let endpoints = start_etcd(crew, &etcd, members)?;
    let record = crew.folder().join("arrivals");
    crew.start("target", &["target", "--listen", target, "--record", &record.display().to_string()])?;

    let masters: Vec<(&'static str, String)> = MASTERS.into_iter().zip(masters.iter().cloned()).collect();
    let store = format!("sqlite://{}/shanty.db", folder(crew, "store")?);
    let all = masters.iter().map(|(_, address)| address.as_str()).collect::<Vec<_>>().join(",");
    let cx = cx.at(&all);
    for (at, (name, address)) in masters.iter().enumerate() {
        let data = folder(crew, name)?;
        let words: [&str; 11] = [
            "master", "--node", name, "--listen", address, "--etcd", &endpoints, "--store", &store, "--data",
            &data,
        ];
        crew.start(name, &words)?;
        // The first one makes the store, and leads.
        if at == 0 {
            until_ready(crew, async || cx.client.leader().await.is_some()).await?;
        }
    }
    for name in SENTINELS {
        let voters = SENTINELS.join(",");
        crew.start(name, &["sentinel", "--node", name, "--members", &voters, "--etcd", &endpoints])?;
    }
    start_workers(crew, &all, &[])?;
    until_ready(crew, async || is_whole(&cx).await && node::workers_ready(&cx).await >= WORKERS.len())
        .await?;
    Ok(Fleet { cx, masters, target: format!("http://{target}/"), record })
}

/// Whether all masters and sentinels are registered, and the sentinels vote.
async fn is_whole(cx: &Context) -> bool {
    let Some(cluster) = cluster_now(cx).await else { return false };
    let count = |all: u32| usize::try_from(all).unwrap_or(0);
    count(cluster.masters()) == MASTERS.len()
        && count(cluster.sentinels()) == SENTINELS.len()
        && cluster.voters.len() == SENTINELS.len()
}

/// Starts the members of etcd on these addresses, two for each; answers those for clients.
fn start_etcd(crew: &mut Crew, program: &Path, addresses: &[String]) -> Result<String, Error> {
    let pairs: Vec<(&str, &str, &str)> = MEMBERS
        .into_iter()
        .zip(addresses.chunks(2))
        .filter_map(|(name, two)| Some((name, two.first()?.as_str(), two.get(1)?.as_str())))
        .collect();
    let all: Vec<String> = pairs.iter().map(|(name, _, peer)| format!("{name}=http://{peer}")).collect();
    let all = all.join(",");
    for (name, client, peer) in &pairs {
        let data = folder(crew, name)?;
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let words: [&str; 20] = [
            "--name",
            name,
            "--data-dir",
            &data,
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &all,
            "--initial-cluster-state",
            "new",
            "--logger",
            "zap",
            "--log-level",
            "warn",
        ];
        crew.start_program(name, program, &words)?;
    }
    Ok(pairs.iter().map(|(_, client, _)| *client).collect::<Vec<_>>().join(","))
}

/// etcd in the folders of `path`, or in `places`.
fn find(path: Option<&OsStr>, places: &[&str]) -> Option<PathBuf> {
    let of_path = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    let folders = of_path.into_iter().chain(places.iter().map(PathBuf::from));
    folders.map(|folder| folder.join("etcd")).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_is_found_in_path_or_where_servers_are_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (place, path) = (folder.path().to_str().unwrap(), folder.path().as_os_str());
        assert_eq!(find(Some(path), &[place]), None);
        let file = folder.path().join("etcd");
        std::fs::write(&file, "").unwrap();
        assert_eq!(find(Some(path), &[]), Some(file.clone()));
        assert_eq!(find(None, &["/no/such/place", place]), Some(file));
    }
}
