//! A page: rows on their way, in the form in which the target takes them.
//!
//! ```text
//!  cells from the source ──► codec of the column ──► encoder of the target ──► payload
//! ```
//! In: cells, row by row. Out: a [`Page`] with the key of its last row. Never: a value of its own per cell: buffers
//! are used again from page to page.
//! Tests: below.

use crate::db::{Dialect, RowEncoder, RowSink, Rows};
use crate::digest::{CellHasher, Hashing, RowDigest, Way};
use crate::plan::{Key, Pair};
use crate::schema::{Applied, Codec, Column};
use shanty_model::kind::db_sync::OnLossy;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Rows in the target's form.
#[derive(Debug, Default)]
pub struct Page {
    payload: Vec<u8>,
    /// Where each row ends in the payload.
    ends: Vec<usize>,
    /// The cells of each row's key, each ended by `KEY_END`; empty for raw rows.
    keys: Vec<u8>,
    key_ends: Vec<usize>,
    /// The hash of each row; empty when no digest is wanted.
    hashes: Vec<u64>,
    /// Whether rows are in the target's binary form.
    raw: bool,
    /// Whether they passed as the source's own bytes: their keys are in them.
    passed: bool,
    /// Bytes of the cells as read.
    pub bytes: u64,
    /// Key of the last row; none without rows or without a key.
    pub last_key: Option<Key>,
    /// Values changed or left out.
    pub lossy: BTreeMap<&'static str, u64>,
    /// Rows that could not be encoded, with their keys and why.
    pub refused: Vec<Refused>,
    /// Whether the source had no more rows after it.
    pub last: bool,
}

/// A row that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its key, for people.
    pub key: String,
    /// Why.
    pub reason: String,
    /// The row as far as it was made.
    pub row: Vec<u8>,
}

/// Ends a key's cell; no text holds it, since it is no UTF-8.
const KEY_END: u8 = 0xff;

impl Page {
    /// Number of rows to be written.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Bytes in the target's form.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    /// Rows `from..to` for a load.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Rows<'_> {
        let start = from.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        let end = to.checked_sub(1).map_or(0, |last| self.ends.get(last).copied().unwrap_or(0));
        let bytes = self.payload.get(start..end).unwrap_or_default();
        if self.raw { Rows::Raw(bytes) } else { Rows::Encoded(bytes) }
    }

    /// The bytes of one row.
    #[must_use]
    pub fn row(&self, index: usize) -> &[u8] {
        match self.slice(index, index + 1) {
            Rows::Encoded(bytes) | Rows::Raw(bytes) => bytes,
        }
    }

    /// The key of one row of this form, for people.
    #[must_use]
    pub fn key_shown(&self, index: usize, form: &RowForm) -> String {
        if self.passed {
            form.raw_key(self.row(index)).as_deref().map_or_else(nameless, shown)
        } else {
            shown(&self.key(index))
        }
    }

    /// Adds the rows to a digest, but for those whose indexes are in `except`, which grow.
    pub(crate) fn add_to(&self, digest: &mut RowDigest, except: impl Iterator<Item = usize>) {
        let mut except = except.peekable();
        for (row, hash) in self.hashes.iter().enumerate() {
            if except.next_if_eq(&row).is_none() {
                digest.add(*hash);
            }
        }
    }

    fn key(&self, index: usize) -> Key {
        let start = index.checked_sub(1).map_or(0, |before| self.key_ends.get(before).copied().unwrap_or(0));
        let end = self.key_ends.get(index).copied().unwrap_or(start);
        let cells = self.keys.get(start..end).unwrap_or_default();
        let mut key: Key = cells
            .split(|byte| *byte == KEY_END)
            .map(|cell| String::from_utf8_lossy(cell).into_owned())
            .collect();
        key.pop();
        key
    }

    /// Empties it for the next rows; its memory stays.
    fn clear(&mut self) {
        self.payload.clear();
        self.ends.clear();
        self.keys.clear();
        self.key_ends.clear();
        self.hashes.clear();
        self.bytes = 0;
        self.last_key = None;
        self.lossy.clear();
        self.refused.clear();
        self.last = false;
    }
}

fn shown(key: &[String]) -> String {
    if key.is_empty() { nameless() } else { format!("({})", key.join(", ")) }
}

fn nameless() -> String {
    "a row without a key".to_owned()
}

/// How the rows of a table are encoded.
pub struct RowForm {
    /// Codec of each column.
    pub codecs: Vec<Codec>,
    /// The target's encoder.
    pub encoder: Box<dyn RowEncoder>,
    /// Names of the columns, for messages.
    pub names: Vec<String>,
    /// Whether a column takes NULL.
    pub nullable: Vec<bool>,
    /// Indexes, among the cells read, of the key's columns.
    pub key_at: Vec<usize>,
    /// The key's columns, to read them from raw rows.
    pub key_columns: Vec<Column>,
    /// The source's dialect.
    pub dialect: &'static dyn Dialect,
    /// What happens to a value that the target cannot hold.
    pub on_lossy: OnLossy,
    /// How rows are hashed as they pass; none when no digest is wanted.
    pub(crate) hashing: Option<Hashing>,
}

impl RowForm {
    /// The form of `columns`; the codecs have been made already.
    #[must_use]
    pub fn names_of(columns: &[Pair]) -> (Vec<String>, Vec<bool>) {
        columns.iter().map(|pair| (pair.target.name.clone(), pair.target.nullable)).unzip()
    }

    /// The key of a row that passes as the source's own bytes; none when it cannot be read.
    fn raw_key(&self, row: &[u8]) -> Option<Key> {
        let columns = self.key_at.iter().zip(&self.key_columns);
        columns.map(|(at, column)| self.dialect.raw_key(column, *at, row)).collect()
    }
}

/// Fills a page from a read.
pub struct PageMaker<'a> {
    form: &'a RowForm,
    page: Page,
    most_bytes: usize,
    cell: usize,
    row_start: usize,
    key: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    hasher: CellHasher,
    wrong: Option<String>,
}

impl<'a> PageMaker<'a> {
    /// A maker that uses the memory of `page` and ends the read once the payload has `most_bytes`; with `passes`, of rows
    /// that pass as the source's own bytes.
    #[must_use]
    pub fn new(form: &'a RowForm, mut page: Page, passes: bool, most_bytes: usize) -> PageMaker<'a> {
        page.clear();
        // At once: what grows by doubling leaves its former places behind, half as much again.
        page.payload.reserve_exact(most_bytes);
        page.passed = passes;
        page.raw = passes || form.encoder.is_raw();
        let key = vec![Vec::new(); form.key_at.len()];
        PageMaker {
            form,
            page,
            most_bytes,
            cell: 0,
            row_start: 0,
            key,
            scratch: Vec::new(),
            hasher: CellHasher::default(),
            wrong: None,
        }
    }

    /// The page; `limit` is how many rows were asked for.
    #[must_use]
    pub fn finish(mut self, limit: Option<u64>) -> Page {
        let read = self.page.rows() + self.page.refused.len();
        let full = limit.is_some_and(|limit| u64::try_from(read).unwrap_or(u64::MAX) >= limit);
        let broken_off = self.page.payload.len() >= self.most_bytes;
        self.page.last = !full && !broken_off;
        if self.page.passed {
            let last = self.page.rows().checked_sub(1);
            self.page.last_key = last.and_then(|last| self.form.raw_key(self.page.row(last)));
        }
        self.page
    }

    fn encode(&mut self, column: usize, value: Option<&[u8]>) {
        let form = self.form;
        let codec = form.codecs.get(column).filter(|codec| !codec.is_identity());
        let written = match (codec, value) {
            (None, value) => value,
            (Some(_), None) => None,
            (Some(codec), Some(value)) => match codec.apply(value, &mut self.scratch) {
                Ok(Applied::Same) => Some(value),
                Ok(Applied::Written) => Some(self.scratch.as_slice()),
                Err(lossy) => {
                    *self.page.lossy.entry(lossy.event).or_default() += 1;
                    let nullable = form.nullable.get(column).copied().unwrap_or(false);
                    match form.on_lossy {
                        OnLossy::Convert if lossy.converted => Some(self.scratch.as_slice()),
                        OnLossy::SetNull if nullable => None,
                        OnLossy::Error | OnLossy::Convert | OnLossy::SetNull => {
                            let name = form.names.get(column).map_or("", String::as_str);
                            let why = format!("column {name}: {}", lossy.event);
                            self.wrong.get_or_insert(why);
                            None
                        }
                    }
                }
            },
        };
        if let Err(error) = form.encoder.cell(column, written, &mut self.page.payload) {
            let name = form.names.get(column).map_or("", String::as_str);
            self.wrong.get_or_insert_with(|| format!("column {name}: {error}"));
        }
        if let Some(cell) = form.hashing.as_ref().and_then(|hashing| hashing.form(column)) {
            self.hasher.cell(cell, written);
        }
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.page.payload.len() >= self.most_bytes {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl RowSink for PageMaker<'_> {
    fn cell(&mut self, value: Option<&[u8]>) {
        let at = self.cell;
        self.cell += 1;
        for (part, _) in self.form.key_at.iter().enumerate().filter(|(_, key_at)| **key_at == at) {
            if let Some(key) = self.key.get_mut(part) {
                key.clear();
                key.extend_from_slice(value.unwrap_or_default());
            }
        }
        if at < self.form.codecs.len() {
            self.page.bytes += u64::try_from(value.map_or(0, <[u8]>::len)).unwrap_or(0);
            self.encode(at, value);
        }
    }

    fn end_row(&mut self) -> ControlFlow<()> {
        self.cell = 0;
        let key_start = self.page.keys.len();
        for cell in &self.key {
            self.page.keys.extend_from_slice(cell);
            self.page.keys.push(KEY_END);
        }
        self.form.encoder.end_row(&mut self.page.payload);
        let row = self.page.payload.get(self.row_start..).unwrap_or_default();
        let hash = self.form.hashing.as_ref().map(|hashing| match hashing.way {
            Way::Cells => self.hasher.end_row(),
            Way::Bytes | Way::Server => hashing.raw(row),
        });
        if let Some(reason) = self.wrong.take() {
            let key: Key = self.key.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
            let row = self.page.payload.split_off(self.row_start);
            self.page.keys.truncate(key_start);
            self.page.refused.push(Refused { key: shown(&key), reason, row });
        } else {
            self.page.ends.push(self.page.payload.len());
            self.page.key_ends.push(self.page.keys.len());
            self.page.hashes.extend(hash);
        }
        self.row_start = self.page.payload.len();
        if !self.key.is_empty() {
            let last = self.page.last_key.get_or_insert_with(Vec::new);
            last.resize(self.key.len(), String::new());
            for (text, cell) in last.iter_mut().zip(&self.key) {
                text.clear();
                text.push_str(&String::from_utf8_lossy(cell));
            }
        }
        self.go_on()
    }

    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
        self.page.payload.extend_from_slice(row);
        self.page.ends.push(self.page.payload.len());
        self.page.hashes.extend(self.form.hashing.as_ref().map(|hashing| hashing.raw(row)));
        self.page.bytes += u64::try_from(row.len()).unwrap_or(0);
        self.go_on()
    }
}
