//! A sync from flags.
//!
//! In: flags. Out: a `JobSpec`. Never: checks what the cluster checks.
//! Tests: in the folder's `mod`.

use crate::error::Error;
use crate::quantity;
use clap::{Args, ValueEnum};
use shanty_proto::v1;
use std::time::Duration;
use v1::db_sync_spec as words;

/// Flags of a sync.
#[derive(Debug, Clone, Args)]
#[group(id = "Sync", multiple = true)]
#[command(next_help_heading = "Sync")]
pub(crate) struct SyncArgs {
    /// Where rows come from: CONNECTION:TABLE, with a schema CONNECTION:SCHEMA.TABLE; several tables by commas, * and ?
    #[arg(long, value_parser = source, value_name = "CONNECTION:TABLE", requires = "target")]
    source: Option<v1::SyncSource>,
    /// Where rows go: CONNECTION, or CONNECTION:TABLE for another name ({table} stands for the source's)
    #[arg(long, value_parser = target, value_name = "CONNECTION[:TABLE]", requires = "source")]
    target: Option<v1::SyncTarget>,
    /// Tables left out of a pattern
    #[arg(long, value_delimiter = ',', value_name = "TABLE,…", requires = "source")]
    exclude: Vec<String>,
    /// All rows, or those changed since the last run
    #[arg(long, value_enum, value_name = "MODE", requires = "source")]
    mode: Option<Mode>,
    /// Column that grows with every change of a row; SOURCE:TARGET when its name differs
    #[arg(long, value_parser = pair, value_name = "COLUMN", requires = "source")]
    diff_column: Option<(String, String)>,
    /// Incremental: read this much before the watermark again (1m)
    #[arg(long, value_parser = quantity::duration, value_name = "TIME", requires = "source")]
    overlap: Option<Duration>,
    /// Incremental: compare and repair everything afterwards, which finds deleted rows
    #[arg(long, requires = "source")]
    sweep: bool,
    /// Condition on the source's rows in the source's SQL
    #[arg(long = "where", value_name = "SQL", requires = "source")]
    condition: Option<String>,
    /// Columns that identify a row; SOURCE:TARGET for names that differ
    #[arg(long, value_delimiter = ',', value_parser = pair, value_name = "COLUMN,…", requires = "source")]
    key: Vec<(String, String)>,
    /// Columns to copy; SOURCE:TARGET for names that differ
    #[arg(long, value_delimiter = ',', value_parser = pair, value_name = "COLUMN,…", requires = "source")]
    columns: Vec<(String, String)>,
    /// What is compared afterwards
    #[arg(long, value_enum, value_name = "DEPTH", requires = "source")]
    verify: Option<Verify>,
    /// What happens when the target holds rows
    #[arg(long, value_enum, value_name = "WAY", requires = "source")]
    on_existing: Option<OnExisting>,
    /// What happens to a value that the target's type cannot hold
    #[arg(long, value_enum, value_name = "WAY", requires = "source")]
    on_lossy: Option<OnLossy>,
    /// Rows that the target refuses and that are put aside instead of failing the run
    #[arg(long, value_name = "ROWS", requires = "source")]
    max_bad_rows: Option<u32>,
    /// Do not create a missing target table
    #[arg(long, requires = "source")]
    no_create_table: bool,
    /// Most shards copied at once over the whole cluster
    #[arg(long, value_name = "N", requires = "source")]
    workers: Option<u32>,
    /// Most rows per second over all workers (10k)
    #[arg(long, value_parser = quantity::whole, value_name = "ROWS", requires = "source")]
    rows_per_second: Option<u32>,
    /// Most bytes per second over all workers (20MiB)
    #[arg(long, value_parser = quantity::size, value_name = "BYTES", requires = "source")]
    bytes_per_second: Option<i64>,
    /// Pause while the source is a replica further behind than this
    #[arg(long, value_parser = quantity::duration, value_name = "TIME", requires = "source")]
    max_source_lag: Option<Duration>,
    /// Pause while a look at the source takes longer than this
    #[arg(long, value_parser = quantity::duration, value_name = "TIME", requires = "source")]
    max_source_latency: Option<Duration>,
    /// Size aimed at for a page, the unit of committing (2MiB)
    #[arg(long, value_parser = quantity::size, value_name = "BYTES", requires = "source")]
    page_bytes: Option<i64>,
    /// Most rows of a page
    #[arg(long, value_parser = quantity::whole, value_name = "ROWS", requires = "source")]
    page_rows: Option<u32>,
}

/// What is copied.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Full,
    Incremental,
}

/// What is compared.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verify {
    None,
    Count,
    Checksum,
    Repair,
}

/// What happens to a target that holds rows.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnExisting {
    Fail,
    Truncate,
    Upsert,
}

/// What happens to a value that does not fit.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnLossy {
    Error,
    Convert,
    SetNull,
}

impl SyncArgs {
    /// Whether a sync was asked for.
    pub(super) fn is_given(&self) -> bool {
        self.source.is_some() || self.target.is_some()
    }

    /// The sync that these flags stand for.
    ///
    /// # Errors
    /// When a page is larger than can be said.
    pub(super) fn spec(self) -> Result<v1::JobSpec, Error> {
        let throttle = v1::SyncThrottle {
            rows_per_second: self.rows_per_second.unwrap_or_default(),
            bytes_per_second: self.bytes_per_second.unwrap_or_default(),
            max_source_lag: self.max_source_lag.map(quantity::proto_duration),
            max_source_latency: self.max_source_latency.map(quantity::proto_duration),
        };
        let mut source = self.source.unwrap_or_default();
        source.exclude = self.exclude;
        let mut target = self.target.unwrap_or_default();
        let (key, target_key): (Vec<String>, Vec<String>) = self.key.into_iter().unzip();
        if target_key.iter().any(|name| !name.is_empty()) {
            let named = target_key.into_iter().zip(&key);
            target.key =
                named.map(|(name, same)| if name.is_empty() { same.clone() } else { name }).collect();
        }
        let page_bytes = u32::try_from(self.page_bytes.unwrap_or_default())
            .map_err(|_| Error::wrong("--page-bytes is too large", "give 64KiB to 64MiB"))?;
        let sync = v1::DbSyncSpec {
            source: Some(source),
            target: Some(target),
            mode: match self.mode {
                None => words::Mode::Unspecified,
                Some(Mode::Full) => words::Mode::Full,
                Some(Mode::Incremental) => words::Mode::Incremental,
            }
            .into(),
            columns: self
                .columns
                .into_iter()
                .map(|(source, target)| v1::SyncColumn { source, target })
                .collect(),
            r#where: self.condition.unwrap_or_default(),
            key,
            diff_column: self.diff_column.map(|(source, target)| v1::SyncDiffColumn { source, target }),
            overlap: self.overlap.map(quantity::proto_duration),
            sweep: self.sweep,
            on_existing: match self.on_existing {
                None => words::OnExisting::Unspecified,
                Some(OnExisting::Fail) => words::OnExisting::Fail,
                Some(OnExisting::Truncate) => words::OnExisting::Truncate,
                Some(OnExisting::Upsert) => words::OnExisting::Upsert,
            }
            .into(),
            create_table: self.no_create_table.then_some(false),
            verify: match self.verify {
                None => words::Verify::Unspecified,
                Some(Verify::None) => words::Verify::None,
                Some(Verify::Count) => words::Verify::Count,
                Some(Verify::Checksum) => words::Verify::Checksum,
                Some(Verify::Repair) => words::Verify::Repair,
            }
            .into(),
            on_lossy: match self.on_lossy {
                None => words::OnLossy::Unspecified,
                Some(OnLossy::Error) => words::OnLossy::Error,
                Some(OnLossy::Convert) => words::OnLossy::Convert,
                Some(OnLossy::SetNull) => words::OnLossy::SetNull,
            }
            .into(),
            max_bad_rows: self.max_bad_rows.unwrap_or_default(),
            workers: self.workers.unwrap_or_default(),
            page_bytes,
            page_rows: self.page_rows.unwrap_or_default(),
            throttle: (throttle != v1::SyncThrottle::default()).then_some(throttle),
        };
        Ok(v1::JobSpec { kind: Some(v1::job_spec::Kind::DbSync(sync)) })
    }
}

/// `CONNECTION:TABLE`, with a schema, several tables and patterns.
fn source(text: &str) -> Result<v1::SyncSource, String> {
    let refuse = || "write CONNECTION:TABLE, for example shop:orders, shop:sales.orders or shop:*".to_owned();
    let (connection, tables) = text.split_once(':').ok_or_else(refuse)?;
    let mut schemas = Vec::new();
    let mut names = Vec::new();
    for table in tables.split(',') {
        let (schema, name) = schema_and_name(table);
        if name.is_empty() || connection.is_empty() {
            return Err(refuse());
        }
        schemas.push(schema);
        names.push(name.to_owned());
    }
    let schema = schemas.first().copied().unwrap_or_default().to_owned();
    if schemas.iter().any(|other| *other != schema) {
        return Err("the tables of a sync are of one schema; start one sync for each".to_owned());
    }
    let connection = connection.to_owned();
    let one = names.len() == 1 && !names.iter().any(|name| name.contains(['*', '?']));
    let (table, tables) = if one { (names.concat(), Vec::new()) } else { (String::new(), names) };
    Ok(v1::SyncSource { connection, schema, table, tables, exclude: Vec::new() })
}

/// `CONNECTION`, `CONNECTION:TABLE`, `CONNECTION:SCHEMA.TABLE`.
fn target(text: &str) -> Result<v1::SyncTarget, String> {
    let (connection, table) = text.split_once(':').unwrap_or((text, ""));
    if connection.is_empty() {
        return Err("write CONNECTION or CONNECTION:TABLE, for example dw or dw:public.orders".to_owned());
    }
    let (schema, table) = schema_and_name(table);
    Ok(v1::SyncTarget {
        connection: connection.to_owned(),
        schema: schema.to_owned(),
        table: table.to_owned(),
        key: Vec::new(),
    })
}

fn schema_and_name(text: &str) -> (&str, &str) {
    text.split_once('.').unwrap_or(("", text))
}

/// `NAME`, or `SOURCE:TARGET`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (source, target) = text.split_once(':').unwrap_or((text, ""));
    if source.is_empty() {
        return Err("write COLUMN, or SOURCE:TARGET when the names differ".to_owned());
    }
    Ok((source.to_owned(), target.to_owned()))
}
