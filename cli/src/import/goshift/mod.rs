//! `shanty import goshift`: rows of the table `task_def_sync_manager` as jobs of the kind db_sync.
//!
//! | file | holds |
//! |---|---|
//! | `config` | goshift's JSON files, and what of them is an environment variable |
//! | `connections` | its registry of databases as `[worker.connections.…]` |
//! | `table` | its task table: rows in, `task_status` out |
//! | `params` | the column `params` |
//! | `translate` | a row as a job |
//! | `make` | jobs in the cluster, all or none |
//! | `play` | runs of them, told as goshift tells them |
//!
//! In: goshift's configuration and task table. Out: jobs, TOML, and with `--run` the state of each task.
//! Never: makes some of the jobs when one row is wrong; changes the task table without `--run`.
//! Tests: beside each file, and `cli/tests/sync.rs`.

mod config;
mod connections;
mod make;
mod params;
mod play;
mod table;
mod translate;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::run::what;
use crate::screen::Output;
use config::Folder;
use connections::Connections;
use shanty_proto::v1;
use std::path::PathBuf;
use translate::{Made, Task, Wish};

/// Flags of the import.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The task database, mysql://USER:${PASSWORD}@HOST/DB; default: task_meta of the configuration
    #[arg(long, value_name = "URL", required_unless_present = "config_dir")]
    from: Option<String>,
    /// goshift's configuration folder: ENV.json and db_global.json
    #[arg(long, short = 'c', value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Which ENV.json of that folder
    #[arg(long, short = 'e', value_name = "ENV", default_value = "local")]
    env: String,
    /// Take strings of the configuration as they are, also when an environment variable has that name
    #[arg(long)]
    no_used_env: bool,
    /// Only this task; may be repeated
    #[arg(long, value_name = "ID")]
    id: Vec<u64>,
    /// init: all rows; incremental: changed rows, for tasks that have a diff_column
    #[arg(long, value_enum, default_value = "init")]
    mode: Mode,
    /// What a full copy does when the target holds rows
    #[arg(long, value_enum, default_value = "fail")]
    on_existing: OnExisting,
    /// Make jobs of tasks too whose online_status is not 1
    #[arg(long)]
    include_offline: bool,
    /// Replace jobs that are there already
    #[arg(long)]
    update: bool,
    /// Write the connections there instead of to standard output; the file must not exist
    #[arg(long, value_name = "FILE")]
    connections_file: Option<PathBuf>,
    /// Show what would be made; the cluster is not asked
    #[arg(long, conflicts_with = "run")]
    dry_run: bool,
    /// Run each job once, one after the other, and write task_status back
    #[arg(long)]
    run: bool,
}

/// goshift's `-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// All rows
    #[value(alias = "full")]
    Init,
    /// Changed rows
    Incremental,
}

/// What a full copy does when the target holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnExisting {
    Fail,
    Truncate,
    Upsert,
}

/// Does it.
///
/// # Errors
/// All that is wrong with the configuration and the rows at once; nothing was made then.
pub(super) async fn run(args: Args, cx: &Context) -> Result<Exit, Error> {
    let err = cx.screen.err;
    let folder = match &args.config_dir {
        Some(dir) => Some(Folder::read(dir, &args.env, !args.no_used_env)?),
        None => None,
    };
    let connections = match &folder {
        Some(folder) => Connections::of(folder)?,
        None => Connections::default(),
    };
    let mut tasks = table::TaskTable::open(args.from.as_deref(), folder.as_ref()).await?;
    let rows = tasks.rows(&args.id).await?;
    let wish = Wish {
        incremental: args.mode == Mode::Incremental,
        on_existing: match args.on_existing {
            OnExisting::Fail => v1::db_sync_spec::OnExisting::Fail,
            OnExisting::Truncate => v1::db_sync_spec::OnExisting::Truncate,
            OnExisting::Upsert => v1::db_sync_spec::OnExisting::Upsert,
        },
        include_offline: args.include_offline,
    };
    let mut wrong = Vec::new();
    for id in &args.id {
        if !rows.iter().any(|row| row.id == id.to_string()) {
            wrong.push(format!("task {id}: there is no such row in {}", table::TABLE));
        }
    }
    let mut made: Vec<Task> = Vec::new();
    for row in &rows {
        match translate::translate(row, &connections, &wish) {
            Ok(Made::Task(task)) => made.push(*task),
            Ok(Made::Skipped(why)) => cx.screen.say(&err.dim(&format!("task {}: left out: {why}", row.id))),
            Err(found) => wrong.extend(found.into_iter().map(|what| format!("task {}: {what}", row.id))),
        }
    }
    if !wrong.is_empty() {
        let next = "correct the rows, or import the others with --id; no job was made";
        return Err(Error::wrong(format!("not every task can be a job:\n  {}", wrong.join("\n  ")), next));
    }
    for warning in connections.warnings() {
        cx.screen.say(&format!("{} {warning}", err.warn("!")));
    }
    for task in &made {
        for note in &task.notes {
            cx.screen.say(&err.dim(&format!("task {}: {note}", task.id)));
        }
    }
    if args.dry_run {
        print_jobs(cx, &made, "would make")?;
        print_connections(cx, &connections, &made, None)?;
        return Ok(Exit::Done);
    }
    if let Some(path) = args.connections_file.as_ref().filter(|path| path.exists()) {
        return Err(Error::wrong(
            format!("{} is there already", path.display()),
            "name another file with --connections-file; no job was made",
        ));
    }
    make::all(cx, &made, args.update).await?;
    print_jobs(cx, &made, "made")?;
    print_connections(cx, &connections, &made, args.connections_file.as_deref())?;
    if !args.run {
        return Ok(Exit::Done);
    }
    play::all(cx, &made, &mut tasks).await
}

fn print_jobs(cx: &Context, made: &[Task], word: &str) -> Result<(), Error> {
    match cx.screen.output {
        Output::Json => {
            let jobs = made.iter().map(|task| task.job.clone()).collect();
            cx.print(&v1::ListJobsResponse { jobs, ..v1::ListJobsResponse::default() }, |_| String::new())
        }
        Output::Table => {
            for task in made {
                cx.screen.say(&format!("{word} {}: {}", task.job.name, what(task.job.spec.as_ref())));
            }
            if made.is_empty() {
                cx.screen.say("no task to make a job of");
            }
            Ok(())
        }
    }
}

/// The configuration that workers need for these jobs, to a file or to standard output. With JSON on standard
/// output it goes to a file only.
fn print_connections(
    cx: &Context,
    connections: &Connections,
    made: &[Task],
    file: Option<&std::path::Path>,
) -> Result<(), Error> {
    let used: std::collections::BTreeSet<&str> =
        made.iter().flat_map(|task| [task.source.as_str(), task.target.as_str()]).collect();
    if connections.is_empty() {
        let names: Vec<&str> = used.into_iter().collect();
        if !names.is_empty() {
            cx.screen.say(&format!(
                "workers need the connections {}; with --config-dir their configuration is written from db_global.json",
                names.join(", ")
            ));
        }
        return Ok(());
    }
    let toml = connections.toml(&used);
    match file {
        Some(path) => {
            write_private(path, &toml)?;
            cx.screen.say(&format!("wrote {}: put it into the configuration of the workers", path.display()));
            Ok(())
        }
        None if cx.screen.output == Output::Json => Ok(()),
        None => cx.screen.data(&toml),
    }
}

/// Writes a new file that only its owner can read: it may hold passwords.
fn write_private(path: &std::path::Path, text: &str) -> Result<(), Error> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| {
            Error::local(
                format!("cannot write {}: {error}", path.display()),
                "the jobs are made; print the connections with --dry-run",
            )
        })
}
