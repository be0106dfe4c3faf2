//! MariaDB.
//!
//! In: flags. Out: [`MariaDb`], ready. Tests: `tests/tests/store.rs`.

use super::owner::Owner;
use super::{PASSWORD, PASSWORD_IN_URL, Server, USER, output, succeeds, text};
use crate::cluster::{Process, free_port};
use crate::skip;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::AtomicU32;
use std::time::Instant;

/// A MariaDB server. Its user may do everything, with a password.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    client: PathBuf,
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
