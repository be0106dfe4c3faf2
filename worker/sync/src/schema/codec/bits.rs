//! Strings of bits.
//!
//! In: `0` and `1`. Out: as many as the target has. Never: a bit dropped in silence. Tests: `tests.rs`.

use super::number::IntRule;
use super::{Applied, Verdict, converted, event, lost};

/// Bits for a column of `width`; a fixed one takes leading zeros more or less, as a number would.
pub(super) fn bits(width: u32, varying: bool, value: &[u8], out: &mut Vec<u8>) -> Verdict {
    if !value.iter().all(|bit| matches!(bit, b'0' | b'1')) {
        return lost(event::VALUE_NOT_PARSED);
    }
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    if value.len() == width || (varying && value.len() < width) {
        return Ok(Applied::Same);
    }
    let surplus = value.len().saturating_sub(width);
    let (dropped, kept) = value.split_at(surplus);
    if !varying {
        out.extend(std::iter::repeat_n(b'0', width.saturating_sub(value.len())));
    }
    out.extend_from_slice(kept);
    if !varying && !dropped.contains(&b'1') { Ok(Applied::Written) } else { converted(event::BIT_WIDTH) }
}

/// Bits as a whole number.
pub(super) fn to_int(rule: &IntRule, value: &[u8], out: &mut Vec<u8>) -> Verdict {
    let mut size = Some(0u64);
    for bit in value {
        let bit = match bit {
            b'0' => 0,
            b'1' => 1,
            _ => return lost(event::VALUE_NOT_PARSED),
        };
        size = size.and_then(|size| size.checked_mul(2)).map(|size| size | bit);
    }
    rule.place(false, size, out)
}
