//! Numbers as text: whole ones, decimals, floating point.
//!
//! In: digits. Out: whether the target's number is the same one. Never: a comparison by floating point where
//! digits can be compared. Tests: `tests.rs`.

use super::{Applied, Verdict, converted, event, lost};
use std::io::Write as _;

/// Largest power of ten that is written out in digits; beyond it nothing but floating point goes.
const MOST_ZEROS: i32 = 400;

/// A number taken apart: `0.DIGITS × 10^point`, digits without zeros at either end.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    digits: Vec<u8>,
    /// Digits before the point; negative for zeros behind it.
    point: i32,
}

impl Number {
    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    fn parse(value: &[u8]) -> Option<Number> {
        let (negative, rest) = match value {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        let e = rest.iter().position(|byte| byte.eq_ignore_ascii_case(&b'e'));
        let (plain, exponent) = match e {
            Some(at) => {
                (rest.get(..at)?, std::str::from_utf8(rest.get(at + 1..)?).ok()?.parse::<i32>().ok()?)
            }
            None => (rest, 0),
        };
        let dot = plain.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match dot {
            Some(at) => (plain.get(..at)?, plain.get(at + 1..)?),
            None => (plain, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty()
            || !whole.iter().chain(fraction).all(u8::is_ascii_digit)
            || exponent.unsigned_abs() > 1_000_000
        {
            return None;
        }
        let mut digits = [whole, fraction].concat();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let mut point = i32::try_from(whole.len()).ok()?.checked_sub(i32::try_from(zeros).ok()?)?;
        point = point.checked_add(exponent)?;
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            point = 0;
        }
        Some(Number { negative, digits, point })
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Digits after the point.
    fn scale(&self) -> i32 {
        i32::try_from(self.digits.len()).unwrap_or(i32::MAX).saturating_sub(self.point).max(0)
    }

    /// Rounds half away from zero to `scale` digits after the point.
    fn round(&mut self, scale: i32) {
        let keep = self.point.saturating_add(scale);
        let Ok(keep) = usize::try_from(keep) else {
            self.digits.clear();
            self.point = 0;
            return;
        };
        let up = self.digits.get(keep).is_some_and(|digit| *digit >= b'5');
        self.digits.truncate(keep);
        if up {
            while self.digits.last() == Some(&b'9') {
                self.digits.pop();
            }
            match self.digits.last_mut() {
                Some(digit) => *digit += 1,
                None => {
                    self.digits.push(b'1');
                    self.point += 1;
                }
            }
        }
        while self.digits.last() == Some(&b'0') {
            self.digits.pop();
        }
        if self.digits.is_empty() {
            self.point = 0;
        }
    }

    /// Writes plain digits; false when there would be too many.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        if self.point.abs() > MOST_ZEROS {
            return false;
        }
        if self.negative && !self.is_zero() {
            out.push(b'-');
        }
        let before = usize::try_from(self.point).unwrap_or(0);
        if before == 0 {
            out.push(b'0');
        }
        out.extend(self.digits.iter().copied().chain(std::iter::repeat(b'0')).take(before));
        if self.scale() > 0 {
            out.push(b'.');
            out.extend(std::iter::repeat_n(b'0', usize::try_from(-self.point).unwrap_or(0)));
            out.extend(self.digits.iter().skip(before));
        }
        true
    }
}

/// Whether a text names a number that is none: NaN or an infinity, in any engine's spelling.
fn not_finite(value: &[u8]) -> bool {
    let bare = value.strip_prefix(b"-").or(value.strip_prefix(b"+")).unwrap_or(value);
    [&b"nan"[..], b"inf", b"infinity"].iter().any(|word| bare.eq_ignore_ascii_case(word))
}

/// What becomes of a text that is no number.
fn no_number(value: &[u8]) -> Verdict {
    lost(if not_finite(value) { event::NUMBER_NOT_FINITE } else { event::VALUE_NOT_PARSED })
}

/// Whole numbers from `least` to `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct IntRule {
    pub least: i64,
    pub most: u64,
    /// MySQL's YEAR: 0 is written with four digits, since a `0` alone would mean 2000.
    pub year: bool,
}

impl IntRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        match quick_int(value) {
            Some((negative, size)) if self.holds(negative, size) && !self.year => Ok(Applied::Same),
            Some((negative, size)) => self.place(negative, Some(size), out),
            None => self.slow(value, out),
        }
    }

    fn holds(&self, negative: bool, size: u64) -> bool {
        if negative && size > 0 {
            self.least < 0 && size <= self.least.unsigned_abs()
        } else {
            size <= self.most
        }
    }

    /// Writes a number that was read, or the end of the range; no size for one beyond 64 bits.
    pub(super) fn place(&self, negative: bool, size: Option<u64>, out: &mut Vec<u8>) -> Verdict {
        let fits = size.filter(|size| self.holds(negative, *size));
        let Some(size) = fits else {
            let written = if negative { write!(out, "{}", self.least) } else { write!(out, "{}", self.most) };
            return if written.is_ok() {
                converted(event::INT_OUT_OF_RANGE)
            } else {
                lost(event::INT_OUT_OF_RANGE)
            };
        };
        if self.year && size != 0 && size < 1901 {
            out.extend_from_slice(b"1901");
            return converted(event::INT_OUT_OF_RANGE);
        }
        let sign = if negative && size > 0 { "-" } else { "" };
        let width = if self.year { 4 } else { 1 };
        if write!(out, "{sign}{size:0width$}").is_err() {
            return lost(event::VALUE_NOT_PARSED);
        }
        Ok(Applied::Written)
    }

    /// Leading zeros, a plus sign, a point, an exponent.
    fn slow(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let Some(mut number) = Number::parse(value) else { return no_number(value) };
        let whole = number.scale() == 0;
        if !whole {
            number.round(0);
        }
        let mut plain = Vec::new();
        let size = if number.write(&mut plain) {
            let digits = plain.strip_prefix(b"-").unwrap_or(&plain);
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok())
        } else {
            None
        };
        let placed = self.place(number.negative, size, out);
        if whole || placed.is_err() { placed } else { converted(event::DECIMAL_ROUNDED) }
    }
}

/// A whole number in its shortest form of up to 19 digits: its sign and size.
fn quick_int(value: &[u8]) -> Option<(bool, u64)> {
    let (negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    let mut size = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        size = size * 10 + u64::from(digit);
    }
    (!negative || size > 0).then_some((negative, size))
}

/// Decimals of `whole` digits before the point and `scale` after it; none for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct DecimalRule {
    pub size: Option<(u16, u16)>,
    pub unsigned: bool,
    pub nan: bool,
    pub infinity: bool,
}

impl DecimalRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let quick = quick_decimal(value);
        if let Some((negative, whole, scale)) = quick
            && !(negative && self.unsigned)
            && self.size.is_none_or(|(w, s)| whole <= usize::from(w) && scale <= usize::from(s))
        {
            return Ok(Applied::Same);
        }
        let Some(mut number) = Number::parse(value) else {
            let is_nan = value.eq_ignore_ascii_case(b"nan");
            if not_finite(value) && if is_nan { self.nan } else { self.infinity } {
                return Ok(Applied::Same);
            }
            return no_number(value);
        };
        if number.negative && self.unsigned && !number.is_zero() {
            out.push(b'0');
            return converted(event::DECIMAL_OVERFLOW);
        }
        let mut rounded = false;
        if let Some((whole, scale)) = self.size {
            if number.scale() > i32::from(scale) {
                number.round(i32::from(scale));
                rounded = true;
            }
            if number.point > i32::from(whole) {
                if number.negative {
                    out.push(b'-');
                }
                if whole == 0 {
                    out.push(b'0');
                }
                out.extend(std::iter::repeat_n(b'9', usize::from(whole)));
                if scale > 0 {
                    out.push(b'.');
                    out.extend(std::iter::repeat_n(b'9', usize::from(scale)));
                }
                return converted(event::DECIMAL_OVERFLOW);
            }
        }
        if !number.write(out) {
            return lost(event::DECIMAL_OVERFLOW);
        }
        if rounded { converted(event::DECIMAL_ROUNDED) } else { Ok(Applied::Written) }
    }
}

/// A plain decimal without needless zeros in front: its sign, digits before and after the point (zeros at the end
/// not counted).
fn quick_decimal(value: &[u8]) -> Option<(bool, usize, usize)> {
    let (negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut whole = 0;
    let mut scale = 0;
    let mut behind = 0;
    let mut point = false;
    for byte in digits {
        match byte {
            b'.' if !point => point = true,
            b'0'..=b'9' if point => {
                behind += 1;
                if *byte != b'0' {
                    scale = behind;
                }
            }
            b'0'..=b'9' => whole += 1,
            _ => return None,
        }
    }
    if whole == 0 || (point && behind == 0) {
        return None;
    }
    match digits.first() {
        Some(b'0') if whole > 1 => None,
        Some(b'0') => Some((negative, 0, scale)),
        _ => Some((negative, whole, scale)),
    }
}

/// Floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct FloatRule {
    pub bits: u8,
    pub nan: bool,
    pub infinity: bool,
    /// Whether the source's numbers are known to have this width: only those that are none are looked for.
    pub exact: bool,
    /// The sign of a zero is kept.
    pub signed_zero: bool,
    /// SQLite's numeric columns keep whole numbers of 64 bits as they are.
    pub whole: bool,
}

impl FloatRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        if !self.signed_zero && is_negative_zero(value) {
            out.push(b'0');
            return converted(event::FLOAT_ROUNDED);
        }
        let first = value.iter().find(|byte| !matches!(byte, b'-' | b'+'));
        if self.exact && first.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
            return Ok(Applied::Same);
        }
        if self.whole && quick_int(value).is_some_and(|(_, size)| i64::try_from(size).is_ok()) {
            return Ok(Applied::Same);
        }
        // So few digits survive floating point, whatever they are.
        let certain = if self.bits == 32 { 6 } else { 15 };
        if quick_decimal(value).is_some_and(|(_, whole, scale)| whole + scale <= certain) {
            return Ok(Applied::Same);
        }
        let Some(number) = Number::parse(value) else {
            let is_nan = value.eq_ignore_ascii_case(b"nan");
            if not_finite(value) && if is_nan { self.nan } else { self.infinity } {
                return Ok(Applied::Same);
            }
            return no_number(value);
        };
        // The shortest text of what the target will hold; the same number, or digits were lost.
        let Ok(text) = std::str::from_utf8(value) else { return lost(event::VALUE_NOT_PARSED) };
        let mut kept = Vec::with_capacity(32);
        let written = match self.bits {
            32 => text.parse::<f32>().ok().filter(|number| number.is_finite()).map(|x| write!(kept, "{x:e}")),
            _ => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|x| write!(kept, "{x:e}")),
        };
        let Some(Ok(())) = written else { return lost(event::FLOAT_OVERFLOW) };
        let same = Number::parse(&kept).is_some_and(|kept| kept == number);
        if same {
            return Ok(Applied::Same);
        }
        out.extend_from_slice(&kept);
        converted(event::FLOAT_ROUNDED)
    }
}

fn is_negative_zero(value: &[u8]) -> bool {
    let Some(size) = value.strip_prefix(b"-") else { return false };
    let mantissa = size.split(|byte| byte.eq_ignore_ascii_case(&b'e')).next().unwrap_or_default();
    mantissa.contains(&b'0') && mantissa.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// A boolean: `0`, `1`, or a word for them.
pub(super) fn boolean(value: &[u8], out: &mut Vec<u8>) -> Verdict {
    if matches!(value, b"0" | b"1") {
        return Ok(Applied::Same);
    }
    for (words, digit) in [([&b"t"[..], b"true"], b'1'), ([b"f", b"false"], b'0')] {
        if words.iter().any(|word| value.eq_ignore_ascii_case(word)) {
            out.push(digit);
            return Ok(Applied::Written);
        }
    }
    let Some(number) = Number::parse(value) else { return no_number(value) };
    let one = number.digits == b"1" && number.point == 1 && !number.negative;
    out.push(if number.is_zero() { b'0' } else { b'1' });
    if number.is_zero() || one { Ok(Applied::Written) } else { converted(event::BOOL_NOT_0_OR_1) }
}
