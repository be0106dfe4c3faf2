//! Text, bytes, labels, ids.
//!
//! In: bytes. Out: whether the target takes them whole. Never: a cut in the middle of a character.
//! Tests: `tests.rs`.

use super::{Applied, Verdict, converted, event, lost};

/// Text for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct TextRule {
    /// Most characters.
    pub limit: Option<u32>,
    /// Whether it has to be looked at for bytes that are no UTF-8.
    pub check_utf8: bool,
    /// Whether NUL is refused.
    pub no_nul: bool,
    /// Blanks at the end of the source are padding: they go without a word.
    pub unpad: bool,
    /// Blanks at the end mean nothing to the target: they are lost.
    pub padded: bool,
}

impl TextRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let kept = if self.unpad { without_blanks(value) } else { value };
        if self.check_utf8 && std::str::from_utf8(kept).is_err() {
            out.extend_from_slice(String::from_utf8_lossy(kept).as_bytes());
            self.trim(out);
            return converted(event::TEXT_NOT_UTF8);
        }
        if self.no_nul && kept.contains(&0) {
            out.extend(kept.iter().copied().filter(|byte| *byte != 0));
            self.trim(out);
            return converted(event::TEXT_NUL);
        }
        let judged = if self.padded { without_blanks(kept) } else { kept };
        let end = self.end(judged);
        if end < judged.len() {
            out.extend_from_slice(judged.get(..end).unwrap_or_default());
            return converted(event::TEXT_TRUNCATED);
        }
        if judged.len() < kept.len() {
            out.extend_from_slice(judged);
            return converted(event::TEXT_BLANKS_TRIMMED);
        }
        if kept.len() < value.len() {
            out.extend_from_slice(kept);
            return Ok(Applied::Written);
        }
        Ok(Applied::Same)
    }

    /// Where the last character that fits ends.
    fn end(&self, text: &[u8]) -> usize {
        let Some(limit) = self.limit.and_then(|limit| usize::try_from(limit).ok()) else { return text.len() };
        if text.len() <= limit {
            return text.len();
        }
        let starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xC0 != 0x80);
        starts.map(|(at, _)| at).nth(limit).unwrap_or(text.len())
    }

    fn trim(&self, out: &mut Vec<u8>) {
        if self.padded {
            out.truncate(without_blanks(out).len());
        }
        out.truncate(self.end(out));
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|byte| **byte == b' ').count();
    text.get(..text.len() - blanks).unwrap_or_default()
}

/// Bytes for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct BytesRule {
    /// Most bytes.
    pub limit: u32,
    /// Whether fewer are filled up with zeros.
    pub fixed: bool,
}

impl BytesRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if value.len() > limit {
            out.extend_from_slice(value.get(..limit).unwrap_or_default());
            return converted(event::BYTES_TRUNCATED);
        }
        if self.fixed && value.len() < limit {
            out.extend_from_slice(value);
            out.resize(limit, 0);
            return converted(event::BYTES_PADDED);
        }
        Ok(Applied::Same)
    }
}

/// One of the target's labels, to the letter.
pub(super) fn label(labels: &[String], value: &[u8]) -> Verdict {
    if labels.iter().any(|label| label.as_bytes() == value) {
        Ok(Applied::Same)
    } else {
        lost(event::ENUM_UNKNOWN_LABEL)
    }
}

/// Any of the target's labels, joined by commas; the empty text is the empty set.
pub(super) fn label_set(labels: &[String], value: &[u8]) -> Verdict {
    if value.is_empty() {
        return Ok(Applied::Same);
    }
    value.split(|byte| *byte == b',').try_fold(Applied::Same, |_, part| label(labels, part))
}

/// A UUID in small letters with hyphens; braces, capitals and missing hyphens are put right.
pub(super) fn uuid(value: &[u8], out: &mut Vec<u8>) -> Verdict {
    let is_canonical = value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    if is_canonical {
        return Ok(Applied::Same);
    }
    let bare = value.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or(value);
    let hyphens = match bare.len() {
        32 => false,
        36 => true,
        _ => return lost(event::VALUE_NOT_PARSED),
    };
    for (at, byte) in bare.iter().enumerate() {
        match (byte, at) {
            (b'-', 8 | 13 | 18 | 23) if hyphens => {}
            (byte, 8 | 13 | 18 | 23) if hyphens || !byte.is_ascii_hexdigit() => {
                out.clear();
                return lost(event::VALUE_NOT_PARSED);
            }
            (byte, _) if byte.is_ascii_hexdigit() => {
                if matches!(out.len(), 8 | 13 | 18 | 23) {
                    out.push(b'-');
                }
                out.push(byte.to_ascii_lowercase());
            }
            _ => {
                out.clear();
                return lost(event::VALUE_NOT_PARSED);
            }
        }
    }
    Ok(Applied::Written)
}
