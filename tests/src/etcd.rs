//! A real etcd cluster on loopback, or in places of a [`World`]: one to several members that can be killed, paused and
//! restarted.
//!
//! In: how many members, or where. Out: [`EtcdCluster`], healthy, with its client endpoints. Without etcd on PATH it
//! says that the test is skipped (or fails, see [`skip`](crate::skip)).
//! Never: leaves a process or a folder behind.
//! Tests: `tests/tests/coord.rs`.

use crate::certificates::Certificates;
use crate::cluster::{Process, free_port};
use crate::net::Place;
use crate::skip;
use shanty_rt::tls::Settings;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a member may take until it answers; an election takes one to two seconds.
const START: Duration = Duration::from_secs(20);

/// Members of one etcd cluster.
#[derive(Debug)]
pub struct EtcdCluster {
    members: Vec<Member>,
    /// What clients show, when they must.
    tls: Option<Settings>,
    program: PathBuf,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Member {
    client: SocketAddr,
    /// Where it tells its health and figures in plaintext.
    health: SocketAddr,
    place: Option<Place>,
    args: Vec<String>,
    process: Option<Process>,
}

impl EtcdCluster {
    /// Starts a cluster and waits until all members answer; none when there is no etcd here.
    ///
    /// # Panics
    /// When etcd is here but does not come up.
    #[must_use]
    pub fn start(members: usize) -> Option<EtcdCluster> {
        EtcdCluster::start_in(&vec![None; members])
    }

    /// As [`start`](Self::start), with a place for each member; none for loopback.
    ///
    /// # Panics
    /// When etcd is here but does not come up.
    #[must_use]
    pub fn start_in(places: &[Option<Place>]) -> Option<EtcdCluster> {
        EtcdCluster::start_with(places, &[])
    }

    /// As [`start_in`](Self::start_in), with more flags, `--name=value`.
    ///
    /// # Panics
    /// When etcd is here but does not come up.
    #[must_use]
    pub fn start_with(places: &[Option<Place>], flags: &[&str]) -> Option<EtcdCluster> {
        EtcdCluster::start_as(places, flags, None)
    }

    /// As [`start`](Self::start), over TLS: members show the certificate of `etcd`, and ask clients for theirs; the tool of
    /// [`ctl`](Self::ctl) has that of `client`.
    ///
    /// # Panics
    /// When etcd is here but does not come up.
    #[must_use]
    pub fn start_over_tls(members: usize, certificates: &Certificates) -> Option<EtcdCluster> {
        EtcdCluster::start_as(&vec![None; members], &[], Some(certificates))
    }

    fn start_as(places: &[Option<Place>], flags: &[&str], tls: Option<&Certificates>) -> Option<EtcdCluster> {
        let program = skip::program("etcd", "etcd-server")?;
        // A port that was free can be taken until etcd listens on it.
        for _ in 0..3 {
            let mut cluster = EtcdCluster::plan(places, flags, tls, program.clone());
            for index in 0..places.len() {
                cluster.launch(index);
            }
            if (0..places.len()).all(|index| cluster.comes_up(index)) {
                return Some(cluster);
            }
        }
        unreachable!("etcd did not come up in three tries")
    }

    fn plan(
        places: &[Option<Place>],
        flags: &[&str],
        tls: Option<&Certificates>,
        program: PathBuf,
    ) -> EtcdCluster {
        let folder = tempfile::Builder::new().prefix("shanty-etcd-").tempdir().unwrap_or_else(|error| {
            unreachable!("no folder for etcd below {}: {error}", std::env::temp_dir().display())
        });
        let doors: Vec<(SocketAddr, SocketAddr)> = places
            .iter()
            .map(|place| {
                let host = place.as_ref().map_or(Ipv4Addr::LOCALHOST, |place| place.address);
                (SocketAddr::from((host, free_port())), SocketAddr::from((host, free_port())))
            })
            .collect();
        let all: Vec<String> =
            doors.iter().enumerate().map(|(index, (_, peer))| format!("e{index}=http://{peer}")).collect();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let members = doors
            .iter()
            .enumerate()
            .map(|(index, (client, peer))| {
                let pairs = [
                    ("--name", format!("e{index}")),
                    ("--data-dir", folder.path().join(format!("e{index}")).display().to_string()),
                    ("--listen-client-urls", format!("{scheme}://{client}")),
                    ("--advertise-client-urls", format!("{scheme}://{client}")),
                    ("--listen-peer-urls", format!("http://{peer}")),
                    ("--initial-advertise-peer-urls", format!("http://{peer}")),
                    ("--initial-cluster", all.join(",")),
                    ("--initial-cluster-state", "new".to_owned()),
                    ("--initial-cluster-token", folder.path().display().to_string()),
                    ("--logger", "zap".to_owned()),
                    ("--log-level", "warn".to_owned()),
                ];
                let pairs = pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
                let mut args: Vec<String> =
                    pairs.chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
                let mut health = *client;
                if let Some(tls) = tls {
                    health.set_port(free_port());
                    args.extend(over_tls(&tls.of("etcd"), health));
                }
                Member { client: *client, health, place: places[index].clone(), args, process: None }
            })
            .collect();
        EtcdCluster { members, tls: tls.map(|tls| tls.of("client")), program, folder }
    }

    /// Client addresses, `host:port`, of all members, dead ones included.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.to_string()).collect()
    }

    /// SIGKILL.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill9();
        }
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn pause(&mut self, index: usize) {
        if let Some(process) = &mut self.members[index].process {
            process.stop();
        }
    }

    /// SIGCONT.
    pub fn resume(&mut self, index: usize) {
        if let Some(process) = &mut self.members[index].process {
            process.cont();
        }
    }

    /// Starts a killed member again on its data (one that lives is killed first), and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self, index: usize) {
        self.kill(index);
        self.launch(index);
        assert!(self.comes_up(index), "etcd member {index} did not come up again");
    }

    /// Kills all members and sets their data back to a snapshot of one of them, as `snapshot save` makes it. They are not
    /// started.
    ///
    /// # Errors
    /// What etcd's tool said.
    pub fn set_back(&mut self, snapshot: &Path) -> Result<(), String> {
        for index in 0..self.members.len() {
            self.kill(index);
            let args = &self.members[index].args;
            let mut restore = Command::new("etcdctl");
            restore.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(snapshot);
            let kept = ["--name", "--data-dir", "--initial-cluster", "--initial-cluster-token"];
            for flag in kept.into_iter().chain(["--initial-advertise-peer-urls"]) {
                let value = args.iter().skip_while(|arg| *arg != flag).nth(1);
                let value = value.ok_or_else(|| format!("a member has no {flag}"))?;
                if flag == "--data-dir" {
                    std::fs::remove_dir_all(value).map_err(|error| format!("{value}: {error}"))?;
                }
                restore.args([flag, value]);
            }
            let said = restore.output().map_err(|error| format!("etcdctl: {error}"))?;
            if !said.status.success() {
                return Err(String::from_utf8_lossy(&said.stderr).into_owned());
            }
        }
        Ok(())
    }

    /// Starts all members, and waits until they answer.
    ///
    /// # Panics
    /// When one does not come up.
    pub fn restart_all(&mut self) {
        (0..self.members.len()).for_each(|index| self.launch(index));
        for index in 0..self.members.len() {
            assert!(self.comes_up(index), "etcd member {index} did not come up again");
        }
    }

    /// Gives an etcd that is out of space some: keys below `prefix` go, its history is cut off, each member is defragmented,
    /// the alarm is taken back.
    ///
    /// # Errors
    /// What etcd's tool said.
    pub fn make_room(&self, prefix: &str) -> Result<(), String> {
        let said = self.must(0, &["del", prefix, "--prefix", "--write-out=json"])?;
        let revision = said.split("\"revision\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let revision = revision.ok_or_else(|| format!("etcd said no revision: {said}"))?;
        self.must(0, &["compact", revision])?;
        for index in 0..self.members.len() {
            self.must(index, &["defrag"])?;
        }
        self.must(0, &["alarm", "disarm"]).map(drop)
    }

    fn must(&self, index: usize, words: &[&str]) -> Result<String, String> {
        let (done, said) = self.ctl(index, words);
        if done { Ok(said) } else { Err(format!("etcdctl {}: {said}", words.join(" "))) }
    }

    /// Index of the member that leads the raft group, if one that answers knows.
    #[must_use]
    pub fn raft_leader(&self) -> Option<usize> {
        self.members.iter().position(|member| {
            let metrics = ask(member.health, "/metrics").unwrap_or_default();
            metrics.lines().any(|line| line == "etcd_server_is_leader 1")
        })
    }

    /// Asks etcd's own tool; answers whether it did, and what it said.
    ///
    /// # Panics
    /// When the tool cannot be started.
    #[must_use]
    pub fn ctl(&self, index: usize, words: &[&str]) -> (bool, String) {
        let endpoint = format!("--endpoints={}", self.members[index].client);
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args([&endpoint, "--command-timeout=10s"]);
        if let Some(Settings { certificate, key, authority }) = &self.tls {
            command.arg("--cert").arg(certificate).arg("--key").arg(key).arg("--cacert").arg(authority);
        }
        command.args(words);
        let said = command.output().unwrap_or_else(|error| unreachable!("etcdctl does not start: {error}"));
        (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// Turns access control on. `root` has the password `root`; `shanty` has `hunter2`, and may read and write below `prefix`.
    ///
    /// # Panics
    /// When it cannot be turned on.
    pub fn ask_for_users(&self, prefix: &str) {
        for words in [
            &["user", "add", "root:root"][..],
            &["user", "grant-role", "root", "root"],
            &["role", "add", "shanty"],
            &["role", "grant-permission", "shanty", "readwrite", "--prefix=true", prefix],
            &["user", "add", "shanty:hunter2"],
            &["user", "grant-role", "shanty", "shanty"],
            &["auth", "enable"],
        ] {
            if let Err(why) = self.must(0, words) {
                unreachable!("{why}");
            }
        }
    }

    /// Hands the raft group to another member; whether it did.
    #[must_use]
    pub fn move_leader(&self) -> bool {
        let Some(leader) = self.raft_leader() else { return false };
        let heir = (leader + 1) % self.members.len();
        let (_, status) = self.ctl(heir, &["endpoint", "status", "--write-out=json"]);
        // "member_id" of the answering member, a number that JSON readers of doubles would round.
        let id = status.split("\"member_id\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let id = id.and_then(|id| id.trim().parse::<u64>().ok());
        id.is_some_and(|id| self.ctl(leader, &["move-leader", &format!("{id:x}")]).0)
    }

    fn launch(&mut self, index: usize) {
        let member = &mut self.members[index];
        let name = format!("etcd-e{index}");
        let (program, args) = match &member.place {
            Some(place) => place.inside(&self.program, &member.args),
            None => (self.program.clone(), member.args.clone()),
        };
        match Process::start(&name, self.folder.path(), &program, &args) {
            Ok(process) => member.process = Some(process),
            Err(error) => unreachable!("etcd was found but does not start: {error}"),
        }
    }

    /// Whether a member answers linearizable reads in time; no when its process ends.
    fn comes_up(&mut self, index: usize) -> bool {
        let began = Instant::now();
        while began.elapsed() < START {
            let member = &mut self.members[index];
            if member.process.as_mut().is_none_or(|process| process.ended().is_some()) {
                return false;
            }
            if ask(member.health, "/health").is_some_and(|answer| answer.contains(r#""health":"true""#)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

/// Flags of a member that shows a certificate, asks for one, and tells its health in plaintext at `health`.
fn over_tls(Settings { certificate, key, authority }: &Settings, health: SocketAddr) -> [String; 5] {
    [
        format!("--cert-file={}", certificate.display()),
        format!("--key-file={}", key.display()),
        format!("--trusted-ca-file={}", authority.display()),
        "--client-cert-auth".to_owned(),
        format!("--listen-metrics-urls=http://{health}"),
    ]
}

/// A plain HTTP request; none when there is no whole answer within a second.
fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let patience = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: etcd\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
