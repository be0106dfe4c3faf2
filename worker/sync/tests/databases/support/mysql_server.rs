//! A MariaDB server of the tests' own, on a free port of loopback with data in a temporary folder.
//!
//! In: nothing. Out: [`Server`], ready, with URLs of databases that nobody else uses. Without the program the
//! test is skipped where everybody sees it, or fails when SHANTY_REQUIRE_SERVICES is set.
//! Never: touches a server of the machine, leaves a process or a folder behind.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PASSWORD: &str = "s3cr/et@:x";
const PASSWORD_IN_URL: &str = "s3cr%2Fet%40%3Ax";
const START: Duration = Duration::from_secs(60);

/// A server that lives as long as a test holds it.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    client: PathBuf,
    pub(crate) port: u16,
    made: AtomicU32,
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that tests running at the same time share; none when there is no MariaDB here.
pub(crate) fn shared() -> Option<Arc<Server>> {
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Server::start()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

impl Server {
    /// Starts a server and waits until it answers.
    pub(crate) fn start() -> Option<Server> {
        Server::start_with(|_| Vec::new())
    }

    /// The same with options of its own, made in its folder.
    pub(crate) fn start_with(options: impl Fn(&Path) -> Vec<String>) -> Option<Server> {
        let (program, install, client, setpriv) =
            (find("mariadbd")?, find("mariadb-install-db")?, find("mariadb")?, find("setpriv")?);
        let folder = tempfile::Builder::new().prefix("shanty-mysql-").tempdir().unwrap();
        // Root gives the server to the user that Debian made for it.
        let owner =
            user("mysql").filter(|_| std::fs::metadata("/proc/self").is_ok_and(|own| owned_by_root(&own)));
        let mut prefix = vec![setpriv.display().to_string()];
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
            prefix.extend(
                ["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]
                    .map(str::to_owned),
            );
        }
        let data = format!("--datadir={}", folder.path().join("data").display());
        let tmp = format!("--tmpdir={}", folder.path().display());
        let mut made = prefix.clone();
        made.extend([&install.display().to_string(), "--no-defaults", &data, &tmp].map(str::to_owned));
        made.extend(
            ["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M"]
                .map(str::to_owned),
        );
        let said = output(&made);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut run = prefix;
        run.extend(["--pdeathsig", "KILL", "--"].map(str::to_owned));
        run.extend([&program.display().to_string(), "--no-defaults", &data, &tmp].map(str::to_owned));
        run.extend([
            "--bind-address=127.0.0.1".to_owned(),
            format!("--port={port}"),
            format!("--socket={}", folder.path().join("socket").display()),
            format!("--pid-file={}", folder.path().join("pid").display()),
            format!("--log-error={}", folder.path().join("log").display()),
            "--skip-name-resolve".to_owned(),
            "--local-infile=1".to_owned(),
            "--innodb-log-file-size=64M".to_owned(),
            "--innodb-buffer-pool-size=128M".to_owned(),
            "--innodb-flush-log-at-trx-commit=2".to_owned(),
        ]);
        run.extend(options(folder.path()));
        let (stop, stopped) = mpsc::channel::<()>();
        // The death signal is bound to the thread that started the server, not to the process: one thread
        // keeps it.
        let keeper = std::thread::spawn(move || {
            let mut child = Command::new(&run[0])
                .args(&run[1..])
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let _stopped = stopped.recv();
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let server =
            Server { folder, client, port, made: AtomicU32::new(0), stop: Some(stop), keeper: Some(keeper) };
        let began = Instant::now();
        while !server.ask("SELECT 1").status.success() {
            assert!(began.elapsed() < START, "mariadbd does not come up:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server.must(&format!(
            "CREATE USER 'shanty'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; \
             GRANT ALL ON *.* TO 'shanty'@'127.0.0.1' WITH GRANT OPTION"
        ));
        Some(server)
    }

    /// URL of a new, empty database.
    pub(crate) fn url(&self) -> String {
        let name = format!("d{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.must(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        format!("mysql://shanty:{PASSWORD_IN_URL}@127.0.0.1:{}/{name}?ssl-mode=DISABLED", self.port)
    }

    /// Runs statements as root.
    pub(crate) fn must(&self, statements: &str) {
        let said = self.ask(statements);
        assert!(said.status.success(), "{statements}: {}", String::from_utf8_lossy(&said.stderr));
    }

    fn ask(&self, statements: &str) -> Output {
        let socket = format!("--socket={}", self.folder.path().join("socket").display());
        let client = self.client.display().to_string();
        output(&[&client, "--no-defaults", &socket, "--user=root", "-e", statements].map(str::to_owned))
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
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

fn owned_by_root(own: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(own) == 0
}

fn user(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A program on PATH; says that the test is skipped when there is none.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| Path::is_file(file));
    if found.is_none() {
        let words = format!("no {name} here (apt-get install mariadb-server)");
        assert!(
            std::env::var_os("SHANTY_REQUIRE_SERVICES").is_none(),
            "{words}, and SHANTY_REQUIRE_SERVICES is set"
        );
        // Standard error itself: the macros are captured by the test runner.
        drop(writeln!(std::io::stderr(), "skipped: {words}"));
    }
    found
}

/// Runs a command to its end.
pub(crate) fn output(command: &[String]) -> Output {
    Command::new(&command[0]).args(&command[1..]).current_dir("/").stdin(Stdio::null()).output().unwrap()
}
