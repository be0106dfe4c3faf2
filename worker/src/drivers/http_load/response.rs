//! Where an answer ends: head, interim heads, body.
//!
//! ```text
//!   Head ──length──► Length(n) ──┐
//!    │ └───chunked─► Chunked ────┼──► Done
//!    │ └───neither─► UntilClose ─┘ (at the end of the stream)
//!    └─1xx─► Head
//! ```
//! In: bytes in pieces of any size. Out: how many of them belong to this answer, and whether it is whole; or
//! an error class. However the bytes are cut, the outcome is the same.
//! Never: keeps body bytes; allocates, unless a head comes in pieces.
//! Tests: `response_test.rs`.

use super::chunks::Chunks;
use super::head::{Framing, Head, Heads, MAX_HEAD};
use shanty_model::kind::http_load::ErrorClass;

/// A buffer for heads in pieces above this is given back after use.
const KEPT_SPILL: usize = 4096;

#[derive(Debug, Clone, Copy)]
enum Stage {
    Head,
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    Done,
}

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Decoder {
    stage: Stage,
    status: u16,
    keep: bool,
    /// Bytes of interim heads so far.
    interim: usize,
    /// The beginning of a head whose rest has not come.
    spill: Vec<u8>,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fed {
    /// Bytes that belong to the answer.
    pub(super) used: usize,
    /// Whether the answer is whole.
    pub(super) done: bool,
}

impl Decoder {
    /// Before an answer.
    pub(super) fn new() -> Decoder {
        Decoder { stage: Stage::Head, status: 0, keep: false, interim: 0, spill: Vec::new() }
    }

    /// Forgets the last answer.
    pub(super) fn begin(&mut self) {
        self.stage = Stage::Head;
        self.interim = 0;
        if self.spill.capacity() > KEPT_SPILL {
            self.spill = Vec::new();
        } else {
            self.spill.clear();
        }
    }

    /// HTTP status of a whole answer.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection may be used again after a whole answer.
    pub(super) fn keep(&self) -> bool {
        self.keep
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// `Malformed` or `HeadTooLarge`; the answer is lost then.
    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8], heads: &mut Heads) -> Result<Fed, ErrorClass> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match &mut self.stage {
                Stage::Head => {
                    if rest.is_empty() {
                        return Ok(Fed { used, done: false });
                    }
                    match self.head(rest, heads)? {
                        Some(here) => used += here,
                        None => return Ok(Fed { used: bytes.len(), done: false }),
                    }
                }
                Stage::Length(left) => {
                    let here = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= here as u64;
                    used += here;
                    if *left > 0 {
                        return Ok(Fed { used, done: false });
                    }
                    self.stage = Stage::Done;
                }
                Stage::Chunked(chunks) => {
                    used += chunks.take(rest)?;
                    if !chunks.ended() {
                        return Ok(Fed { used, done: false });
                    }
                    self.stage = Stage::Done;
                }
                Stage::UntilClose => return Ok(Fed { used: bytes.len(), done: false }),
                Stage::Done => return Ok(Fed { used, done: true }),
            }
        }
    }

    /// The stream has ended: whether the answer is whole by that.
    ///
    /// # Errors
    /// `EarlyClose`, or `Malformed` when what came of a head cannot become one.
    pub(super) fn end(&mut self, heads: &mut Heads) -> Result<(), ErrorClass> {
        match self.stage {
            Stage::UntilClose => {
                self.stage = Stage::Done;
                Ok(())
            }
            Stage::Done => Ok(()),
            Stage::Head => {
                if !self.spill.is_empty() {
                    heads.read(&self.spill)?;
                }
                Err(ErrorClass::EarlyClose)
            }
            Stage::Length(_) | Stage::Chunked(_) => Err(ErrorClass::EarlyClose),
        }
    }

    /// Takes a head, or a piece of one, and answers how many of `bytes` it used; none for all of them
    /// without having come to its end.
    #[inline]
    fn head(&mut self, bytes: &[u8], heads: &mut Heads) -> Result<Option<usize>, ErrorClass> {
        if self.spill.is_empty() {
            if let Some(head) = heads.read(bytes)? {
                self.take_head(head)?;
                return Ok(Some(head.len));
            }
            self.spill.extend_from_slice(bytes);
            return Ok(None);
        }
        self.head_in_pieces(bytes, heads)
    }

    #[cold]
    fn head_in_pieces(&mut self, bytes: &[u8], heads: &mut Heads) -> Result<Option<usize>, ErrorClass> {
        let before = self.spill.len();
        let room = (MAX_HEAD + 1).saturating_sub(before);
        self.spill.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // A head ends with a line feed, so a piece without one does not end it. This keeps the cost of a
        // head that comes byte by byte linear.
        if !bytes.contains(&b'\n') && self.spill.len() < MAX_HEAD {
            return Ok(None);
        }
        let Some(head) = heads.read(&self.spill)? else { return Ok(None) };
        self.spill.clear();
        self.take_head(head)?;
        Ok(Some(head.len - before))
    }

    #[inline]
    fn take_head(&mut self, head: Head) -> Result<(), ErrorClass> {
        if head.status < 200 {
            return self.take_interim(head);
        }
        self.status = head.status;
        self.keep = head.keep;
        self.stage = match head.framing {
            Framing::Length(length) => Stage::Length(length),
            Framing::Chunked => Stage::Chunked(Chunks::new()),
            Framing::UntilClose => Stage::UntilClose,
        };
        Ok(())
    }

    #[cold]
    fn take_interim(&mut self, head: Head) -> Result<(), ErrorClass> {
        if head.status == 101 {
            // It speaks another protocol from here on.
            return Err(ErrorClass::Malformed);
        }
        self.interim += head.len;
        if self.interim > MAX_HEAD { Err(ErrorClass::HeadTooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
#[path = "response_test.rs"]
mod tests;
