//! Cells that no server hashes portably, hashed here: a source's cell is carried as the copy carries it, and then
//! both ends' cells are written in one form (see [`CellForm`]).
//!
//! In: cells. Out: a digest of 60 bits. Never: a cell that the copy could not write taken for one that it could.
//! Tests: `schema/form`; `worker/sync/tests/databases/verify.rs`.

use crate::schema::{Applied, CellForm, Codec, Kind};
use md5::{Digest as _, Md5};
use shanty_model::kind::db_sync::OnLossy;

/// How the cells of one end are hashed.
pub(super) struct Judge {
    cells: Vec<Cell>,
}

struct Cell {
    /// The way to the target; none for the target's own.
    codec: Option<Codec>,
    on_lossy: OnLossy,
    nullable: bool,
    form: CellForm,
}

impl Judge {
    /// The source's end; kinds are those of source and target.
    pub(super) fn of_source(
        codecs: Vec<Codec>,
        kinds: Vec<(Kind, Kind)>,
        nullable: Vec<bool>,
        on_lossy: OnLossy,
    ) -> Judge {
        let cells = codecs.into_iter().zip(kinds).zip(nullable).map(|((codec, kinds), nullable)| Cell {
            codec: Some(codec),
            on_lossy,
            nullable,
            form: CellForm::of(&kinds.0, &kinds.1),
        });
        Judge { cells: cells.collect() }
    }

    /// The target's end.
    pub(super) fn of_target(kinds: Vec<(Kind, Kind)>) -> Judge {
        let cell = |(source, target): (Kind, Kind)| Cell {
            codec: None,
            on_lossy: OnLossy::Error,
            nullable: true,
            form: CellForm::of(&source, &target),
        };
        Judge { cells: kinds.into_iter().map(cell).collect() }
    }

    /// Adds cell number `at` to a row's digest. `made` and `formed` are memory used again.
    pub(super) fn add(&self, at: usize, value: Option<&[u8]>, digest: &mut Md5, scratch: &mut Scratch) {
        let Scratch { made, formed } = scratch;
        let Some(cell) = self.cells.get(at) else { return };
        let value = match (&cell.codec, value) {
            (_, None) => None,
            (None, Some(value)) => Some(value),
            (Some(codec), Some(value)) if codec.is_identity() => Some(value),
            (Some(codec), Some(value)) => match codec.apply(value, made) {
                Ok(Applied::Same) => Some(value),
                Ok(Applied::Written) => Some(made.as_slice()),
                Err(lossy) if cell.on_lossy == OnLossy::Convert && lossy.converted => Some(made.as_slice()),
                Err(_) if cell.on_lossy == OnLossy::SetNull && cell.nullable => None,
                // The copy could not write it, so nothing in the target is equal to it.
                Err(lossy) => {
                    digest.update(b"?");
                    Some(lossy.event.as_bytes())
                }
            },
        };
        let Some(value) = value else {
            digest.update(b"N");
            return;
        };
        formed.clear();
        cell.form.write(value, formed);
        digest.update(formed.len().to_string());
        digest.update(b":");
        digest.update(&formed);
    }
}

/// Memory that is used from cell to cell.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    made: Vec<u8>,
    formed: Vec<u8>,
}
