//! PostgreSQL.
//!
//! In: settings, addresses. Out: [`Postgres`], ready. Tests: `tests/tests/store.rs`.

use super::owner::Owner;
use super::{PASSWORD, PASSWORD_IN_URL, Server, USER, output, succeeds, succeeds_with, text};
use crate::cluster::{Process, free_port};
use crate::skip;
use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicU32;
use std::time::Instant;

/// A PostgreSQL server. Its user is a superuser with a password.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    programs: PathBuf,
}

impl Postgres {
    /// Starts a server and waits until it answers; none when there is no PostgreSQL here.
    ///
    /// # Panics
    /// When it is here but does not come up.
    #[must_use]
    pub fn start() -> Option<Postgres> {
        Postgres::start_with(&[])
    }

    /// As [`start`](Self::start), with more settings, `name=value`.
    ///
    /// # Panics
    /// When it is here but does not come up.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Option<Postgres> {
        Postgres::start_at(&[], settings)
    }

    /// As [`start_with`](Self::start_with), reachable at these addresses too.
    ///
    /// # Panics
    /// When it is here but does not come up.
    #[must_use]
    pub fn start_at(addresses: &[Ipv4Addr], settings: &[&str]) -> Option<Postgres> {
        let programs = postgres_programs()?;
        let owner = Owner::of("postgres");
        let folder = owner.folder("shanty-postgres-");
        let data = text(&folder.path().join("data"));
        let secret = folder.path().join("secret");
        std::fs::write(&secret, PASSWORD)
            .unwrap_or_else(|error| unreachable!("no file for a secret: {error}"));
        owner.give(&secret);
        let initdb = text(&programs.join("initdb"));
        let secret = text(&secret);
        succeeds(&owner.command(&[
            &initdb,
            "-D",
            &data,
            "-U",
            USER,
            "--pwfile",
            &secret,
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let mut listen = vec![Ipv4Addr::LOCALHOST];
        listen.extend_from_slice(addresses);
        let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
        admit_all(&folder.path().join("data"), addresses);
        let port = free_port();
        let mut command = serve(&owner, &programs, folder.path(), port, &listen.join(","));
        command.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        let server =
            Server { process: None, folder, command, name: "postgres", port, made: AtomicU32::new(0) };
        let mut postgres = Postgres { server, programs };
        postgres.restart();
        Some(postgres)
    }

    /// A replica of this server on loopback, which follows it until it is [told not to](Self::hears_no_more).
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn replica(&self) -> Postgres {
        let owner = Owner::of("postgres");
        let folder = owner.folder("shanty-replica-");
        let from = self.server.port.to_string();
        let copy = owner.command(&[
            &text(&self.programs.join("pg_basebackup")),
            "-h",
            "127.0.0.1",
            "-p",
            &from,
            "-U",
            USER,
            "-D",
            &text(&folder.path().join("data")),
            "--checkpoint=fast",
            "--no-sync",
            // The address of the server that it follows, its password included.
            "--write-recovery-conf",
        ]);
        succeeds_with(&copy, &[("PGPASSWORD", PASSWORD)]);
        let port = free_port();
        let command = serve(&owner, &self.programs, folder.path(), port, "127.0.0.1");
        let name = "replica";
        let server = Server { process: None, folder, command, name, port, made: AtomicU32::new(0) };
        let mut replica = Postgres { server, programs: self.programs.clone() };
        replica.restart();
        replica
    }

    /// To a replica: whatever its server commits from now on does not reach it.
    ///
    /// # Panics
    /// When the replica refuses.
    pub fn hears_no_more(&self) {
        self.set("primary_conninfo", Some("''"));
    }

    /// To a replica: it is a server of its own from now on.
    ///
    /// # Panics
    /// When it refuses.
    pub fn promote(&self) {
        let said = self.ask("SELECT pg_promote()");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    /// URL of a new, empty database.
    ///
    /// # Panics
    /// When the server does not make it.
    #[must_use]
    pub fn url(&self) -> String {
        let name = self.server.new_name();
        let said = self.ask(&format!("CREATE DATABASE {name}"));
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        format!("postgres://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{name}", self.server.port)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Process id of the server; none while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.process.as_ref().map(Process::pid)
    }

    /// URL of a new, empty database, reached at another of its addresses.
    ///
    /// # Panics
    /// When the server does not make it.
    #[must_use]
    pub fn url_at(&self, address: Ipv4Addr) -> String {
        self.url().replace("@127.0.0.1:", &format!("@{address}:"))
    }

    /// Changes a setting of the running server; none takes it back.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn set(&self, setting: &str, value: Option<&str>) {
        let change = match value {
            Some(value) => format!("ALTER SYSTEM SET {setting} = {value}"),
            None => format!("ALTER SYSTEM RESET {setting}"),
        };
        for statement in [change.as_str(), "SELECT pg_reload_conf()"] {
            let said = self.ask(statement);
            assert!(said.status.success(), "{statement}: {}", String::from_utf8_lossy(&said.stderr));
        }
    }

    /// SIGSTOP to the server and to every session of it.
    pub fn freeze(&mut self) {
        self.server.pause();
        self.server.signal_children(Signal::STOP);
    }

    /// SIGCONT to the server and to every session of it.
    pub fn thaw(&mut self) {
        self.server.signal_children(Signal::CONT);
        self.server.resume();
    }

    /// SIGKILL to the server.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// SIGSTOP: connections are taken, nothing new is answered. (Sessions that are open go on: each is a
    /// process of its own.)
    pub fn pause(&mut self) {
        self.server.pause();
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.server.resume();
    }

    /// Starts the server again on its data (one that lives is killed first), and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.server.launch();
        let began = Instant::now();
        while !self.ask("SELECT 1").status.success() {
            if self.server.waits_for_its_forerunner() {
                self.server.launch();
            }
            self.server.still_lives(began);
        }
    }

    fn ask(&self, statement: &str) -> Output {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.server.port.to_string(),
            "-U",
            USER,
            "-d",
            "postgres",
            "-X",
        ]);
        psql.args(["-c", statement]).env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5");
        output(psql)
    }
}

/// The command that serves the data in a folder.
fn serve(owner: &Owner, programs: &Path, folder: &Path, port: u16, listen: &str) -> Vec<String> {
    owner.command(&[
        &text(&programs.join("postgres")),
        "-D",
        &text(&folder.join("data")),
        "-p",
        &port.to_string(),
        "-c",
        &format!("listen_addresses={listen}"),
        "-c",
        &format!("unix_socket_directories={}", folder.display()),
        // Shared memory that goes with the process, however it ends.
        "-c",
        "shared_memory_type=mmap",
        "-c",
        "dynamic_shared_memory_type=mmap",
    ])
}

/// Lets everybody with a password in who comes from the networks of these addresses.
fn admit_all(data: &Path, addresses: &[Ipv4Addr]) {
    let file = data.join("pg_hba.conf");
    let mut rules = std::fs::read_to_string(&file).unwrap_or_default();
    for address in addresses {
        rules.push_str(&format!("host all all {address}/24 scram-sha-256\n"));
    }
    std::fs::write(&file, rules).unwrap_or_else(|error| unreachable!("{}: {error}", file.display()));
}

/// Where PostgreSQL's programs are: Debian keeps them off PATH, the newest version is taken.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let found = folders
        .into_iter()
        .rfind(|folder| ["postgres", "initdb", "psql"].iter().all(|program| folder.join(program).is_file()));
    if found.is_none() {
        skip::skipped("no postgres on PATH or below /usr/lib/postgresql", "apt-get install postgresql");
    }
    found
}
