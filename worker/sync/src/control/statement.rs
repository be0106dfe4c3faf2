//! The SQL of the state tables, in words that all engines understand; types alone are the engine's own.
//!
//! In: values. Out: statements. Never: a value that the dialect has not quoted.

use super::Rejected;
use super::shard::Position;
use crate::db::{ControlTypes, Dialect};
use crate::plan::Piece;
use shanty_model::kind::db_sync::Step;
use shanty_rt::clock;

/// Makes the statements of one run.
pub(super) struct Statements<'a> {
    pub(super) dialect: &'static dyn Dialect,
    pub(super) run: &'a str,
}

/// The columns of a shard, as they are selected.
const SHARD: &str = "step, attempt, seq, piece, cursor_key, rows_done, bytes_done, bad_rows, lossy, size, state, detail, backend";

impl Statements<'_> {
    fn text(&self, value: &str) -> String {
        // No engine takes NUL in text everywhere; keys with one are not legible, but no row depends on them here.
        self.dialect.text(&value.replace('\0', "\u{2400}"))
    }

    fn run(&self) -> String {
        self.text(self.run)
    }

    pub(super) fn create(&self) -> [String; 4] {
        let ControlTypes { name, number, text, options } = self.dialect.control_types();
        [
            format!(
                "CREATE TABLE IF NOT EXISTS shanty_sync_table (run {name} NOT NULL, number {number} NOT NULL, \
                 plan {text} NOT NULL, updated_ms {number} NOT NULL, PRIMARY KEY (run, number)){options}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS shanty_sync_shard (run {name} NOT NULL, step {name} NOT NULL, \
                 attempt {number} NOT NULL, seq {number} NOT NULL, piece {text} NOT NULL, cursor_key {text}, \
                 rows_done {number} NOT NULL, bytes_done {number} NOT NULL, bad_rows {number} NOT NULL, \
                 lossy {text} NOT NULL, size {number} NOT NULL, state {name} NOT NULL, detail {text} NOT NULL, \
                 backend {text}, owner {text}, updated_ms {number} NOT NULL, PRIMARY KEY (run, step)){options}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS shanty_sync_mark (stream {name} NOT NULL, watermark {text} NOT NULL, \
                 run {text} NOT NULL, updated_ms {number} NOT NULL, PRIMARY KEY (stream)){options}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS shanty_sync_reject (run {name} NOT NULL, step {name} NOT NULL, \
                 number {number} NOT NULL, table_name {text} NOT NULL, row_key {text} NOT NULL, \
                 reason {text} NOT NULL, digest {text} NOT NULL, updated_ms {number} NOT NULL, \
                 PRIMARY KEY (run, step, number)){options}"
            ),
        ]
    }

    pub(super) fn insert_table(&self, number: u32, plan: &str) -> String {
        format!(
            "INSERT INTO shanty_sync_table (run, number, plan, updated_ms) SELECT {run}, {number}, {plan}, {now} \
             FROM (SELECT 1 AS one) AS one WHERE NOT EXISTS \
             (SELECT 1 FROM shanty_sync_table WHERE run = {run} AND number = {number})",
            run = self.run(),
            plan = self.text(plan),
            now = clock::unix_ms(),
        )
    }

    pub(super) fn update_table(&self, number: u32, plan: &str) -> String {
        format!(
            "UPDATE shanty_sync_table SET plan = {}, updated_ms = {} WHERE run = {} AND number = {number}",
            self.text(plan),
            clock::unix_ms(),
            self.run(),
        )
    }

    pub(super) fn select_tables(&self) -> String {
        format!("SELECT plan FROM shanty_sync_table WHERE run = {} ORDER BY number", self.run())
    }

    pub(super) fn select_table(&self, number: u32) -> String {
        format!("SELECT plan FROM shanty_sync_table WHERE run = {} AND number = {number}", self.run())
    }

    pub(super) fn insert_shard(&self, step: Step, piece: &Piece, size: u64) -> String {
        format!(
            "INSERT INTO shanty_sync_shard (run, step, attempt, seq, piece, rows_done, bytes_done, bad_rows, lossy, \
             size, state, detail, updated_ms) SELECT {run}, {step}, 0, 0, {piece}, 0, 0, 0, '{{}}', {size}, 'open', '', \
             {now} FROM (SELECT 1 AS one) AS one WHERE NOT EXISTS \
             (SELECT 1 FROM shanty_sync_shard WHERE run = {run} AND step = {step})",
            run = self.run(),
            step = self.text(&step.to_string()),
            piece = self.text(&serde_json::to_string(piece).unwrap_or_default()),
            size = i64::try_from(size).unwrap_or(i64::MAX),
            now = clock::unix_ms(),
        )
    }

    pub(super) fn select_shards(&self) -> String {
        format!("SELECT {SHARD} FROM shanty_sync_shard WHERE run = {} ORDER BY step", self.run())
    }

    pub(super) fn select_shard(&self, step: Step) -> String {
        format!("SELECT {SHARD} FROM shanty_sync_shard WHERE {}", self.this(step))
    }

    fn this(&self, step: Step) -> String {
        format!("run = {} AND step = {}", self.run(), self.text(&step.to_string()))
    }

    /// Takes a shard for an attempt that is not older than the one that holds it.
    pub(super) fn acquire(&self, step: Step, attempt: u32, owner: &str, backend: Option<&str>) -> String {
        let backend = backend.map_or_else(|| "NULL".to_owned(), |backend| self.text(backend));
        format!(
            "UPDATE shanty_sync_shard SET attempt = {attempt}, seq = seq + 1, owner = {owner}, backend = {backend}, \
             updated_ms = {now} WHERE {this} AND attempt <= {attempt}",
            owner = self.text(owner),
            now = clock::unix_ms(),
            this = self.this(step),
        )
    }

    /// Moves a held shard on, if it is still held.
    pub(super) fn advance(&self, step: Step, attempt: u32, seq: u64, to: &Position) -> String {
        let cursor = to.cursor.as_ref().map_or_else(
            || "NULL".to_owned(),
            |key| self.text(&serde_json::to_string(key).unwrap_or_default()),
        );
        format!(
            "UPDATE shanty_sync_shard SET seq = seq + 1, piece = {piece}, cursor_key = {cursor}, rows_done = {rows}, \
             bytes_done = {bytes}, bad_rows = {bad}, lossy = {lossy}, state = {state}, detail = {detail}, \
             updated_ms = {now} WHERE {this} AND attempt = {attempt} AND seq = {seq}",
            piece = self.text(&serde_json::to_string(&to.piece).unwrap_or_default()),
            rows = to.rows,
            bytes = to.bytes,
            bad = to.bad_rows,
            lossy = self.text(&serde_json::to_string(&to.lossy).unwrap_or_default()),
            state = if to.done { "'done'" } else { "'open'" },
            detail = self.text(&to.detail),
            now = clock::unix_ms(),
            this = self.this(step),
        )
    }

    pub(super) fn select_mark(&self, stream: &str) -> String {
        format!("SELECT watermark FROM shanty_sync_mark WHERE stream = {}", self.text(stream))
    }

    pub(super) fn put_mark(&self, stream: &str, watermark: &str) -> Vec<String> {
        let stream = self.text(stream);
        vec![
            format!("DELETE FROM shanty_sync_mark WHERE stream = {stream}"),
            format!(
                "INSERT INTO shanty_sync_mark (stream, watermark, run, updated_ms) VALUES ({stream}, {}, {}, {})",
                self.text(watermark),
                self.run(),
                clock::unix_ms()
            ),
        ]
    }

    pub(super) fn insert_reject(&self, rejected: &Rejected<'_>) -> String {
        format!(
            "INSERT INTO shanty_sync_reject (run, step, number, table_name, row_key, reason, digest, updated_ms) \
             VALUES ({}, {}, {}, {}, {}, {}, {}, {})",
            self.run(),
            self.text(&rejected.step.to_string()),
            rejected.number,
            self.text(rejected.table),
            self.text(rejected.key),
            self.text(rejected.reason),
            self.text(rejected.digest),
            clock::unix_ms(),
        )
    }

    pub(super) fn select_rejected(&self, table: u32, part: Option<u32>) -> String {
        let run = self.run();
        let step = match part {
            Some(part) => format!("= {}", self.text(&Step::Copy { table, part }.to_string())),
            None => format!("LIKE {}", self.text(&format!("copy/{table}/%"))),
        };
        format!("SELECT row_key FROM shanty_sync_reject WHERE run = {run} AND step {step}")
    }

    pub(super) fn delete_run(&self) -> [String; 2] {
        let run = self.run();
        [
            format!("DELETE FROM shanty_sync_shard WHERE run = {run}"),
            format!("DELETE FROM shanty_sync_table WHERE run = {run}"),
        ]
    }
}
