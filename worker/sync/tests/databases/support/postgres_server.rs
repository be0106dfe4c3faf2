//! A PostgreSQL server of a test's own on loopback, shared by the tests that run at the same time.
//!
//! In: nothing. Out: URLs of new, empty databases. Without PostgreSQL on this machine the test says that it is skipped,
//! or fails when `SHANTY_REQUIRE_SERVICES` is set. Never: touches a server of the machine, leaves a process or a
//! folder behind. Tests: those that use it.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

const START: Duration = Duration::from_secs(60);
pub(crate) const USER: &str = "shanty";
/// With characters that a URL has to escape.
const PASSWORD: &str = "s3cr/et@:x";
pub(crate) const PASSWORD_IN_URL: &str = "s3cr%2Fet%40%3Ax";

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// A server; it ends when the last test that holds it ends.
pub(crate) struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    made: AtomicU32,
    /// Dropped to end the server; the keeper answers by ending.
    stop: Option<Sender<()>>,
    keeper: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// The server that other tests use at this moment, or a new one.
    pub(crate) fn shared() -> Option<Arc<Server>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Server::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    fn start() -> Option<Server> {
        let programs = programs()?;
        let owner = Owner::find();
        let folder = tempfile::Builder::new().prefix("shanty-sync-postgres-").tempdir().unwrap();
        owner.give(folder.path());
        let data = text(&folder.path().join("data"));
        let secret = folder.path().join("secret");
        std::fs::write(&secret, PASSWORD).unwrap();
        owner.give(&secret);
        let said = owner
            .command(&programs.join("initdb"))
            .args(["-D", &data, "-U", USER, "--pwfile", &text(&secret), "--auth=scram-sha-256"])
            .args(["-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let port = free_port();
        let mut command = owner.command(&programs.join("postgres"));
        command.args(["-D", &data, "-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", folder.path().display()),
            // Shared memory that goes with the process, however it ends.
            "shared_memory_type=mmap".to_owned(),
            "dynamic_shared_memory_type=mmap".to_owned(),
            "max_prepared_transactions=5".to_owned(),
            "autovacuum=off".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        let (stop, stopped) = channel();
        // The kernel ends the server with the thread that started it: one that lives as long as it should.
        let keeper = std::thread::spawn(move || keep(command, &stopped));
        let server = Server {
            programs,
            folder,
            port,
            made: AtomicU32::new(0),
            stop: Some(stop),
            keeper: Some(keeper),
        };
        let began = Instant::now();
        while !server.ask("SELECT 1").status.success() {
            assert!(
                began.elapsed() < START,
                "postgres did not come up: {}",
                std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
        Some(server)
    }

    /// URL of a new, empty database.
    pub(crate) fn url(&self) -> String {
        self.url_of(&self.database(""))
    }

    /// Name of a new, empty database made with these options.
    pub(crate) fn database(&self, options: &str) -> String {
        let name = format!("d{}", self.made.fetch_add(1, Ordering::Relaxed));
        let said = self.ask(&format!("CREATE DATABASE {name} {options}"));
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        name
    }

    /// URL of a database.
    pub(crate) fn url_of(&self, database: &str) -> String {
        self.url_as(USER, PASSWORD_IN_URL, database)
    }

    /// URL of a database for a user and a password as a URL writes it.
    pub(crate) fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    fn ask(&self, statement: &str) -> Output {
        Command::new(self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-d", "postgres", "-X", "-c"])
            .arg(statement)
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "5")
            .current_dir("/")
            .output()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
    }
}

fn keep(mut command: Command, stopped: &Receiver<()>) {
    let mut child: Child = command.spawn().unwrap();
    // An error means that the other end is dropped: that is the sign.
    let _dropped = stopped.recv();
    drop(child.kill());
    drop(child.wait());
}

/// The user as whom the server runs: PostgreSQL refuses root.
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn find() -> Owner {
        let is_root = std::fs::read_to_string("/proc/self/status")
            .unwrap_or_default()
            .lines()
            .any(|line| line.starts_with("Uid:\t0\t"));
        if !is_root {
            return Owner(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Owner(passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            fields.next().filter(|name| *name == "postgres")?;
            let mut numbers = fields.skip(1).map_while(|id| id.parse().ok());
            Some((numbers.next()?, numbers.next()?))
        }))
    }

    fn give(&self, path: &Path) {
        if let Some((uid, gid)) = self.0 {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = match self.0 {
            Some(_) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir("/");
        command
    }
}

/// Where PostgreSQL's programs are: Debian keeps them off PATH, the newest version is taken.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let found = folders
        .into_iter()
        .rfind(|folder| ["postgres", "initdb", "psql"].iter().all(|program| folder.join(program).is_file()));
    if found.is_none() {
        let step = "no postgres on PATH or below /usr/lib/postgresql (apt-get install postgresql)";
        assert!(std::env::var_os("SHANTY_REQUIRE_SERVICES").is_none(), "{step}");
        // Standard error itself: the macros are captured by the test runner.
        drop(writeln!(std::io::stderr(), "skipped: {step}"));
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
