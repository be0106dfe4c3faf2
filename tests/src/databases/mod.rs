//! Real databases on loopback: PostgreSQL and MariaDB from Debian's packages, each with data of its own.
//!
//! In: nothing. Out: [`Postgres`] or [`MariaDb`], ready, with URLs of databases that nobody else uses.
//! Without the server on this machine they say that the test is skipped (or fail, see [`skip`](crate::skip)).
//! Never: touches a server of the machine, leaves a process or a folder behind.
//! Tests: `tests/tests/store.rs`.

mod owner;

use crate::cluster::{Process, free_port};
use crate::skip;
use owner::Owner;
use rustix::process::{Pid, Signal, kill_process};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(60);
const USER: &str = "shanty";
/// With characters that a URL has to escape.
const PASSWORD: &str = "s3cr/et@:x";
const PASSWORD_IN_URL: &str = "s3cr%2Fet%40%3Ax";

/// A PostgreSQL server. Its user is a superuser with a password.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    programs: PathBuf,
}

/// A MariaDB server. Its user may do everything, with a password.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    client: PathBuf,
}

#[derive(Debug)]
struct Server {
    /// Dropped before the folder.
    process: Option<Process>,
    folder: tempfile::TempDir,
    command: Vec<String>,
    name: &'static str,
    port: u16,
    made: AtomicU32,
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

impl MariaDb {
    /// Starts a server and waits until it answers; none when there is no MariaDB here.
    ///
    /// # Panics
    /// When it is here but does not come up.
    #[must_use]
    pub fn start() -> Option<MariaDb> {
        MariaDb::start_with(&[])
    }

    /// As [`start`](Self::start), with more flags; they win over the harness's own.
    ///
    /// # Panics
    /// When it is here but does not come up.
    #[must_use]
    pub fn start_with(flags: &[&str]) -> Option<MariaDb> {
        let program = skip::program("mariadbd", "mariadb-server")?;
        let install = skip::program("mariadb-install-db", "mariadb-server")?;
        let client = skip::program("mariadb", "mariadb-client")?;
        let owner = Owner::of("mysql");
        let folder = owner.folder("shanty-mariadb-");
        let data = format!("--datadir={}", folder.path().join("data").display());
        let tmp = format!("--tmpdir={}", folder.path().display());
        succeeds(&owner.command(&[
            &text(&install),
            "--no-defaults",
            &data,
            &tmp,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            // Sizes for a test: the server's own are for a machine of its own.
            "--innodb-log-file-size=16M",
        ]));
        let port = free_port();
        let mut command = owner.command(&[
            &text(&program),
            "--no-defaults",
            &data,
            &tmp,
            "--bind-address=127.0.0.1",
            &format!("--port={port}"),
            &format!("--socket={}", folder.path().join("socket").display()),
            &format!("--pid-file={}", folder.path().join("pid").display()),
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
            "--innodb-buffer-pool-size=64M",
        ]);
        if owner.is_root {
            command.push("--user=root".to_owned());
        }
        command.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let server =
            Server { process: None, folder, command, name: "mariadb", port, made: AtomicU32::new(0) };
        let mut mariadb = MariaDb { server, client };
        mariadb.restart();
        let user = format!("CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'");
        mariadb.must(&user);
        mariadb.must(&format!("GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION"));
        Some(mariadb)
    }

    /// URL of a new, empty database.
    ///
    /// # Panics
    /// When the server does not make it.
    #[must_use]
    pub fn url(&self) -> String {
        let name = self.server.new_name();
        self.must(&format!("CREATE DATABASE {name}"));
        format!("mysql://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{name}", self.server.port)
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

    /// SIGKILL to the server.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// SIGSTOP: connections are taken, nothing is answered.
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
            self.server.still_lives(began);
        }
    }

    fn must(&self, statement: &str) {
        let said = self.ask(statement);
        assert!(said.status.success(), "{statement}: {}", String::from_utf8_lossy(&said.stderr));
    }

    fn ask(&self, statement: &str) -> Output {
        let mut client = Command::new(&self.client);
        let socket = format!("--socket={}", self.server.folder.path().join("socket").display());
        client.args(["--no-defaults", &socket, "--user=root", "--connect-timeout=5", "-e", statement]);
        output(client)
    }
}

impl Server {
    fn new_name(&self) -> String {
        format!("d{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    fn launch(&mut self) {
        self.kill();
        let Some((program, args)) = self.command.split_first() else {
            unreachable!("a command has a program")
        };
        match Process::start(self.name, self.folder.path(), Path::new(program), args) {
            Ok(process) => self.process = Some(process),
            Err(error) => unreachable!("{} was found but does not start: {error}", self.name),
        }
    }

    /// Waits a moment for a server that is starting.
    fn still_lives(&mut self, began: Instant) {
        let Some(process) = &mut self.process else { unreachable!("it was just started") };
        let has_ended = process.ended();
        assert!(
            has_ended.is_none() && began.elapsed() < START,
            "{} did not come up ({has_ended:?}):\n{}",
            self.name,
            process.last_words()
        );
        std::thread::sleep(Duration::from_millis(30));
    }

    /// A killed PostgreSQL's children end a moment after it; until then the next one refuses to start.
    fn waits_for_its_forerunner(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| {
            process.ended().is_some() && process.last_words().contains("pre-existing shared memory block")
        })
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// The server's own children; it does not wait for those that ended while it is stopped, so their pids are theirs.
    fn signal_children(&self, signal: Signal) {
        let Some(pid) = self.process.as_ref().map(Process::pid) else { return };
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)) {
            let _gone_already = kill_process(child, signal);
        }
    }

    fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.stop();
        }
    }

    fn resume(&mut self) {
        if let Some(process) = &mut self.process {
            process.cont();
        }
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

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn output(mut command: Command) -> Output {
    let program = command.get_program().to_owned();
    command.current_dir("/").stdin(Stdio::null());
    command.output().unwrap_or_else(|error| unreachable!("{}: {error}", program.display()))
}

fn succeeds(command: &[String]) {
    succeeds_with(command, &[]);
}

fn succeeds_with(command: &[String], environment: &[(&str, &str)]) {
    let Some((program, args)) = command.split_first() else { unreachable!("a command has a program") };
    let mut whole = Command::new(program);
    whole.args(args).envs(environment.iter().copied());
    let said = output(whole);
    assert!(
        said.status.success(),
        "{command:?}: {}\n{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}
