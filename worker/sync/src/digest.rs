//! Digests of rows and names.
//!
//! ```text
//!  row   cells, each its length and its bytes; or the engine's own bytes     ─► a hash of 64 bits (XXH3)
//!        the engine's own bytes as its servers hash them                     ─► a hash of theirs
//!  rows  how many, and the sum of their hashes modulo 2⁶⁴: the same in any order, other with a row twice
//! ```
//! A copy makes the digest of the rows that it writes, and keeps it in its shard's row; a comparison makes it of the rows
//! that it reads back from the target, or has the target's server make it. Equal rows have one digest in each [`Way`].
//!
//! In: cells, rows, words. Out: digests. Never: memory of its own for a row or a cell; a row hash taken for proof
//! against somebody who looks for two rows with one hash. Tests: below; `worker/sync/tests/databases/verify.rs`.

use crate::db::{Dialect, Engine, RawHasher};
use crate::plan::Pair;
use crate::schema::{CellForm, Column};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use twox_hash::XxHash3_64;

/// md5 in small hex.
#[must_use]
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _never = write!(hex, "{byte:02x}");
        hex
    })
}

/// How a row is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Way {
    /// By its cells.
    Cells,
    /// As the engine's own bytes.
    Bytes,
    /// As the engine's servers hash it.
    Server,
}

/// How rows are sent to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// As the source's own bytes.
    Passed,
    /// Encoded in the target's binary form.
    Raw,
    /// Encoded otherwise.
    Encoded,
}

/// How a copy hashes the rows that it reads.
#[derive(Debug)]
pub(crate) struct Hashing {
    /// Its way.
    pub(crate) way: Way,
    /// For [`Way::Cells`]; none for the others.
    forms: Vec<CellForm>,
    /// For the others.
    raw: RawHasher,
}

impl Hashing {
    /// For a copy of `columns` whose rows are sent in this way.
    pub(crate) fn new(columns: &[Pair], from: &dyn Dialect, to: &dyn Dialect, sent: Sent) -> Hashing {
        let targets: Vec<Column> = columns.iter().map(|pair| pair.target.clone()).collect();
        let servers = if sent == Sent::Encoded { None } else { to.raw_hasher(&targets) };
        match (servers, sent) {
            (Some(servers), _) => Hashing { way: Way::Server, forms: Vec::new(), raw: servers },
            (None, Sent::Passed) => Hashing { way: Way::Bytes, forms: Vec::new(), raw: raw_hash },
            // What is read back raw is not always what was sent.
            (None, Sent::Raw | Sent::Encoded) => {
                Hashing { way: Way::Cells, forms: forms(columns, from.engine(), to.engine()), raw: raw_hash }
            }
        }
    }

    /// The form of a column's cells.
    pub(crate) fn form(&self, column: usize) -> Option<CellForm> {
        self.forms.get(column).copied()
    }

    /// The hash of a row in the engine's own bytes.
    pub(crate) fn raw(&self, row: &[u8]) -> u64 {
        (self.raw)(row)
    }
}

/// The digest of some rows, in no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowDigest {
    /// How they are hashed.
    pub(crate) way: Way,
    /// How many.
    pub(crate) rows: u64,
    sum: u64,
}

impl RowDigest {
    /// Of no rows.
    pub(crate) fn new(way: Way) -> RowDigest {
        RowDigest::of(way, 0, 0)
    }

    /// Of `rows` rows whose hashes have this sum modulo 2⁶⁴.
    pub(crate) fn of(way: Way, rows: u64, sum: u64) -> RowDigest {
        RowDigest { way, rows, sum }
    }

    /// From a shard's detail; what is not legible was never written.
    pub(crate) fn read(detail: &str) -> Option<RowDigest> {
        serde_json::from_str(detail).ok()
    }

    /// A shard's detail.
    pub(crate) fn detail(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Adds a row by its hash.
    pub(crate) fn add(&mut self, hash: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// Of the rows of both; none when they were not hashed in one way.
    pub(crate) fn joined(self, other: RowDigest) -> Option<RowDigest> {
        let sum = self.sum.wrapping_add(other.sum);
        (self.way == other.way).then(|| RowDigest::of(self.way, self.rows + other.rows, sum))
    }
}

/// The hash of a row in the engine's own bytes.
pub(crate) fn raw_hash(row: &[u8]) -> u64 {
    XxHash3_64::oneshot(row)
}

/// The forms in which the cells of `columns` are hashed, at both ends.
pub(crate) fn forms(columns: &[Pair], from: Engine, to: Engine) -> Vec<CellForm> {
    let form = |pair: &Pair| CellForm::between(from, &pair.source.kind, to, &pair.target.kind);
    columns.iter().map(form).collect()
}

/// In the place of a cell's length: it is NULL.
const NULL: [u8; 4] = [0xff; 4];
/// A cell that is longer stands for itself by its hash, so that no row is held twice.
const LONG: usize = 1 << 10;
/// Memory that is kept from row to row at most.
const KEPT: usize = 64 << 10;

/// Hashes rows cell by cell.
#[derive(Debug, Default)]
pub(crate) struct CellHasher {
    row: Vec<u8>,
}

impl CellHasher {
    /// The next cell of the row.
    pub(crate) fn cell(&mut self, form: CellForm, value: Option<&[u8]>) {
        let Some(value) = value else {
            self.row.extend_from_slice(&NULL);
            return;
        };
        if form == CellForm::Same && value.len() > LONG {
            self.row.extend_from_slice(&length(value.len()));
            self.row.extend_from_slice(&raw_hash(value).to_be_bytes());
            return;
        }
        let at = self.row.len();
        self.row.extend_from_slice(&NULL);
        form.write(value, &mut self.row);
        let start = at + NULL.len();
        let written = self.row.len() - start;
        if let Some(place) = self.row.get_mut(at..start) {
            place.copy_from_slice(&length(written));
        }
        if written > LONG {
            let hash = raw_hash(self.row.get(start..).unwrap_or_default());
            self.row.truncate(start);
            self.row.extend_from_slice(&hash.to_be_bytes());
        }
    }

    /// The row's hash.
    pub(crate) fn end_row(&mut self) -> u64 {
        let hash = raw_hash(&self.row);
        self.row.clear();
        if self.row.capacity() > KEPT {
            self.row.shrink_to(KEPT);
        }
        hash
    }
}

/// A row fits into a page, so no cell comes near 2³²; one that did would be a long one in any case.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX - 1).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        // From the reference implementation: a digest that is kept is read by other versions too.
        assert_eq!(raw_hash(b""), 0x2d06_8005_38d3_94c2);
    }

    fn hash(cells: &[Option<&[u8]>]) -> u64 {
        let mut hasher = CellHasher::default();
        cells.iter().for_each(|cell| hasher.cell(CellForm::Same, *cell));
        hasher.end_row()
    }

    fn digest(rows: &[u64]) -> RowDigest {
        let mut digest = RowDigest::new(Way::Cells);
        rows.iter().for_each(|row| digest.add(*row));
        digest
    }

    #[test]
    fn cells_do_not_run_together() {
        let rows: [&[Option<&[u8]>]; 9] = [
            &[Some(b"ab"), Some(b"c")],
            &[Some(b"a"), Some(b"bc")],
            &[Some(b"abc"), Some(b"")],
            &[Some(b"abc"), None],
            &[None, Some(b"abc")],
            &[Some(b"abc")],
            &[Some(b""), Some(b"")],
            &[None, None],
            &[],
        ];
        let mut hashes: Vec<u64> = rows.iter().map(|row| hash(row)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), rows.len());
    }

    #[test]
    fn long_cells_are_told_apart_and_leave_no_memory_behind() {
        let long = vec![b'x'; 1 << 20];
        let mut other = long.clone();
        *other.last_mut().unwrap() = b'y';
        assert_ne!(hash(&[Some(&long)]), hash(&[Some(&other)]));
        assert_ne!(hash(&[Some(&long)]), hash(&[Some(long.get(1..).unwrap())]));
        let mut hasher = CellHasher::default();
        // In a form that is written out first, and in one that is not, it is the same cell.
        hasher.cell(CellForm::Trimmed, Some(&long));
        assert_eq!(hasher.end_row(), hash(&[Some(&long)]));
        assert!(hasher.row.capacity() <= 2 * KEPT);
    }

    #[test]
    fn one_form_has_one_hash() {
        let of = |form, value: &[u8]| {
            let mut hasher = CellHasher::default();
            hasher.cell(form, Some(value));
            hasher.end_row()
        };
        assert_eq!(of(CellForm::Decimal, b"1.50"), of(CellForm::Decimal, b"1.5"));
        assert_ne!(of(CellForm::Decimal, b"1.50"), of(CellForm::Decimal, b"1.51"));
        assert_ne!(of(CellForm::Same, b"1.50"), of(CellForm::Same, b"1.5"));
    }

    #[test]
    fn a_detail_is_read_back_and_others_are_none() {
        let kept = digest(&[u64::MAX, 7, 1 << 63]);
        assert_eq!(RowDigest::read(&kept.detail()), Some(kept));
        for detail in ["", "{}", "{\"mended\":{}}", "1"] {
            assert_eq!(RowDigest::read(detail), None, "{detail}");
        }
        assert_eq!(RowDigest::new(Way::Server).joined(RowDigest::new(Way::Bytes)), None);
    }

    proptest! {
        #[test]
        fn neither_order_nor_cuts_matter_but_every_row_does(
            rows in proptest::collection::vec(any::<u64>(), 1..20),
            cut in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            other in any::<u64>(),
        ) {
            let whole = digest(&rows);
            let mut turned = rows.clone();
            turned.reverse();
            prop_assert_eq!(digest(&turned), whole);
            let (head, tail) = rows.split_at(cut.index(rows.len()));
            prop_assert_eq!(digest(head).joined(digest(tail)), Some(whole));
            let at = at.index(rows.len());
            let mut twice = rows.clone();
            twice.push(rows[at]);
            prop_assert_ne!(digest(&twice), whole);
            prop_assume!(rows[at] != other);
            let mut changed = rows.clone();
            changed[at] = other;
            prop_assert_ne!(digest(&changed), whole);
        }
    }
}
