//! The tools that syncs are measured beside, with an account that all of them can spell.
//!
//! In: databases. Out: a copied table, or what the tool said. Never: other settings for a peer than for the sync.

use anyhow::Context as _;
use shanty_tests::dataset::{Database, Engine};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Name and password of an account without characters that need care.
const NAME: &str = "peer";

/// How a tool reaches a database.
pub(crate) struct Account {
    port: String,
    /// Its database.
    pub(crate) database: String,
}

/// Makes the account on the database's server.
///
/// # Errors
/// When the URL is not one of the harness.
pub(crate) async fn account(database: &Database) -> anyhow::Result<Account> {
    let place = database.url.rsplit_once('@').context("an account in the URL")?.1;
    let (server, name) = place.split_once('/').context("a database in the URL")?;
    let port = server.rsplit_once(':').context("a port in the URL")?.1;
    let statements: &[&str] = match database.engine {
        Engine::MariaDb => &[
            "CREATE USER IF NOT EXISTS 'peer'@'127.0.0.1' IDENTIFIED BY 'peer'",
            "GRANT ALL ON *.* TO 'peer'@'127.0.0.1'",
        ],
        Engine::Postgres => {
            &["DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'peer') THEN \
             CREATE ROLE peer SUPERUSER LOGIN PASSWORD 'peer'; END IF; END $$"]
        }
        Engine::Sqlite => anyhow::bail!("a file has no accounts"),
    };
    database.run(statements).await;
    Ok(Account { port: port.to_owned(), database: name.to_owned() })
}

/// Whether a program is here; installs its package where that is allowed, else says what is missing.
pub(crate) fn have(program: &str, package: &str) -> bool {
    if found(program).is_some() {
        return true;
    }
    if rustix::process::getuid().is_root() && found("apt-get").is_some() {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "-qq", "--no-install-recommends", package]);
        let _says_below = apt.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()).status();
    }
    let is_here = found(program).is_some();
    if !is_here {
        println!("{program} is missing and left out: apt-get install {package}");
    }
    is_here
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn succeeds(mut command: Command) -> anyhow::Result<()> {
    let said = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let words = || {
        let all = [said.stdout.as_slice(), said.stderr.as_slice()].concat();
        let text = String::from_utf8_lossy(&all).into_owned();
        text.chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect::<String>()
    };
    anyhow::ensure!(said.status.success(), "{command:?}: {}\n{}", said.status, words());
    Ok(())
}

/// The output of one program into another.
fn pipe(mut from: Command, mut to: Command) -> anyhow::Result<()> {
    let mut first =
        from.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("{from:?}"))?;
    let out = first.stdout.take().context("its output")?;
    let second = to.stdin(out).stdout(Stdio::null()).status().with_context(|| format!("{to:?}"))?;
    let first = first.wait()?;
    anyhow::ensure!(first.success() && second.success(), "{from:?}: {first}; {to:?}: {second}");
    Ok(())
}

fn mysql(program: &str, account: &Account) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-P", &account.port, "-u", NAME]).arg(format!("--password={NAME}"));
    command
}

fn psql(account: &Account, statement: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-h", "127.0.0.1", "-p", &account.port, "-U", NAME, "-d", &account.database, "-X", "-q"]);
    command.args(["-v", "ON_ERROR_STOP=1", "-c", statement]).env("PGPASSWORD", NAME);
    command
}

/// mydumper then myloader, four threads each.
pub(crate) fn dump_and_load(from: &Account, to: &Account, folder: &Path) -> anyhow::Result<()> {
    let folder = folder.join("dump").display().to_string();
    let mut dump = mysql("mydumper", from);
    dump.args(["-B", &from.database, "-T", "orders", "-t", "4", "-r", "250000", "-o", &folder]);
    succeeds(dump)?;
    let mut load = mysql("myloader", to);
    load.args(["-B", &to.database, "-t", "4", "-d", &folder]);
    succeeds(load)
}

/// PostgreSQL's own binary form from psql to psql.
pub(crate) fn binary_pipe(from: &Account, to: &Account) -> anyhow::Result<()> {
    pipe(
        psql(from, "COPY orders TO STDOUT (FORMAT binary)"),
        psql(to, "COPY orders FROM STDIN (FORMAT binary)"),
    )
}

/// The mariadb client's text into COPY; the table has neither NULL nor characters that need escapes.
pub(crate) fn text_pipe(from: &Account, to: &Account) -> anyhow::Result<()> {
    let mut read = mysql("mariadb", from);
    read.args(["--quick", "--batch", "-N", "-e", "SELECT * FROM orders", &from.database]);
    pipe(read, psql(to, "COPY orders FROM STDIN"))
}

/// pgloader with the table alone. With more rows ahead, or several readers, Debian's build runs out of its heap of 1 GiB
/// in two million rows.
pub(crate) fn pgloader(from: &Account, to: &Account) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.load");
    let script = format!(
        "LOAD DATABASE\n  FROM mysql://{NAME}:{NAME}@127.0.0.1:{}/{}\n  INTO postgresql://{NAME}:{NAME}@127.0.0.1:{}/{}\n\
         WITH include drop, create tables, create indexes, reset sequences, workers = 4, concurrency = 1,\n  \
         prefetch rows = 25000\n\
         INCLUDING ONLY TABLE NAMES MATCHING 'orders'\n\
         ALTER SCHEMA '{}' RENAME TO 'public';\n",
        from.port, from.database, to.port, to.database, from.database
    );
    std::fs::write(&file, script)?;
    let mut command = Command::new("pgloader");
    command.arg("--root-dir").arg(folder.path()).arg(&file);
    succeeds(command)
}
