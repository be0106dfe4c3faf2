//! MariaDB and PostgreSQL on loopback, each with data of its own; gone with the test that started them.
//!
//! In: nothing. Out: URLs of databases that nobody else uses; none, and a line on standard error, where the server
//! is not installed (a failure with `SHANTY_REQUIRE_SERVICES=1`).
//! Never: a server of the machine; a process left behind; data that is less safe than a server's own settings make it
//! (only the first initialisation of an empty folder does without fsync).

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(60);
const USER: &str = "shanty";
const PASSWORD: &str = "s3cr/et@:x";
const PASSWORD_IN_URL: &str = "s3cr%2Fet%40%3Ax";

/// A server that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    scheme: &'static str,
    /// The server's own client, up to the statement.
    client: Vec<String>,
    port: u16,
    made: AtomicU32,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Server {
    /// MariaDB; none where there is none.
    pub(crate) fn mariadb() -> Option<Server> {
        let [program, install, client] =
            programs(["mariadbd", "mariadb-install-db", "mariadb"], &[], "mariadb-server mariadb-client")?;
        let owner = Owner::of("mysql");
        let folder = owner.folder();
        let path = |name: &str| text(&folder.path().join(name));
        let data = format!("--datadir={}", path("data"));
        let tmp = format!("--tmpdir={}", text(folder.path()));
        let install = [
            install.as_str(),
            "--no-defaults",
            &data,
            &tmp,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=16M",
        ];
        succeeds(&owner.command(&install));
        let port = free_port();
        let socket = format!("--socket={}", path("socket"));
        let (at, pid) = (format!("--port={port}"), format!("--pid-file={}", path("pid")));
        let mut command = owner.command(&[
            &program,
            "--no-defaults",
            &data,
            &tmp,
            &socket,
            &at,
            &pid,
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
            "--innodb-buffer-pool-size=64M",
            "--local-infile=1",
        ]);
        command.extend(owner.is_root.then(|| "--user=root".to_owned()));
        let client = [&client, "--no-defaults", &socket, "--user=root", "--connect-timeout=5", "-e"];
        let server = Server::start(&command, folder, "mysql", &client.map(String::from), port);
        server.must(&format!("CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"));
        server.must(&format!("GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION"));
        Some(server)
    }

    /// PostgreSQL; none where there is none.
    pub(crate) fn postgres() -> Option<Server> {
        let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("bin"))
            .collect();
        folders.sort();
        folders.reverse();
        let [program, init, client] = programs(["postgres", "initdb", "psql"], &folders, "postgresql")?;
        let owner = Owner::of("postgres");
        let folder = owner.folder();
        let path = |name: &str| text(&folder.path().join(name));
        std::fs::write(folder.path().join("secret"), PASSWORD).unwrap();
        owner.give(&folder.path().join("secret"));
        let (data, secret) = (path("data"), path("secret"));
        let init = [
            init.as_str(),
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
        ];
        succeeds(&owner.command(&init));
        let port = free_port();
        let socket = format!("unix_socket_directories={}", text(folder.path()));
        let number = port.to_string();
        let mut command = vec![program.as_str(), "-D", &data, "-p", &number];
        for setting in [
            "listen_addresses=127.0.0.1",
            &socket,
            "shared_memory_type=mmap",
            "dynamic_shared_memory_type=mmap",
        ] {
            command.extend(["-c", setting]);
        }
        let command = owner.command(&command);
        let url = format!("postgres://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{port}/postgres?connect_timeout=5");
        let client = [client.as_str(), &url, "-X", "-c"].map(str::to_owned);
        Some(Server::start(&command, folder, "postgres", &client, port))
    }

    fn start(
        command: &[String],
        folder: tempfile::TempDir,
        scheme: &'static str,
        client: &[String],
        port: u16,
    ) -> Server {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(&command[0])
            .args(&command[1..])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server =
            Server { child, folder, scheme, client: client.to_vec(), port, made: AtomicU32::new(0) };
        let began = Instant::now();
        while !server.ask("SELECT 1").status.success() {
            let ended = server.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(
                ended.is_none() && began.elapsed() < START,
                "{scheme} did not come up: {ended:?}\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
        server
    }

    /// URL of a new, empty database.
    pub(crate) fn url(&self) -> String {
        let name = format!("d{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.must(&format!("CREATE DATABASE {name}"));
        format!("{}://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{name}", self.scheme, self.port)
    }

    fn must(&self, statement: &str) {
        let said = self.ask(statement);
        assert!(said.status.success(), "{statement}: {}", String::from_utf8_lossy(&said.stderr));
    }

    fn ask(&self, statement: &str) -> Output {
        let mut client = Command::new(&self.client[0]);
        client.args(&self.client[1..]).arg(statement).current_dir("/").stdin(Stdio::null());
        client.output().unwrap()
    }
}

/// Whose a server is: PostgreSQL refuses to run as root.
struct Owner {
    user: Option<(String, u32, u32)>,
    is_root: bool,
}

impl Owner {
    fn of(user: &str) -> Owner {
        let uid = std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me));
        if uid.ok() != Some(0) {
            return Owner { user: None, is_root: false };
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| *name == user)?;
            let mut numbers = fields.skip(1).map_while(|id| id.parse().ok());
            Some((name.to_owned(), numbers.next()?, numbers.next()?))
        });
        Owner { is_root: user.is_none(), user }
    }

    fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("shanty-sync-").tempdir().unwrap();
        self.give(folder.path());
        folder
    }

    fn give(&self, path: &Path) {
        if let Some((_, uid, gid)) = &self.user {
            std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).unwrap();
        }
    }

    /// The command as this user; setpriv replaces itself by the program.
    fn command(&self, command: &[&str]) -> Vec<String> {
        let mut whole = vec!["setpriv"];
        if let Some((name, _, _)) = &self.user {
            whole.extend(["--reuid", name, "--regid", name, "--clear-groups"]);
        }
        whole.extend(["--pdeathsig", "KILL", "--"]);
        whole.extend(command);
        whole.into_iter().map(str::to_owned).collect()
    }
}

/// Programs in these folders, on PATH or where Debian puts servers; says that the test is skipped when one is missing.
fn programs<const N: usize>(names: [&str; N], folders: &[PathBuf], package: &str) -> Option<[String; N]> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = (folders.iter().cloned())
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .collect();
    let found = names.map(|name| {
        folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()).map(|file| text(&file))
    });
    if let Some((name, _)) = names.iter().zip(&found).find(|(_, found)| found.is_none()) {
        let line = format!("skipped: no {name} here (apt-get install {package})\n");
        assert!(std::env::var_os("SHANTY_REQUIRE_SERVICES").is_none(), "{line}");
        // Standard error itself: the macros are captured by the test runner.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    }
    Some(found.map(Option::unwrap_or_default))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn succeeds(command: &[String]) {
    let said =
        Command::new(&command[0]).args(&command[1..]).current_dir("/").stdin(Stdio::null()).output().unwrap();
    assert!(
        said.status.success(),
        "{command:?}: {}\n{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}
