//! JSON: what a server would change or refuse, found without building a tree.
//!
//! In: JSON text. Out: whether it means the same at the target. Never: recursion; text that is no JSON for a
//! column of JSON. Tests: `tests.rs`.

use super::{Applied, Verdict, converted, event, lost};

/// Levels that every engine takes (MySQL stops at 100).
const MOST_LEVELS: usize = 100;

/// JSON for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct JsonRule {
    /// Whether the text may be no JSON at all.
    pub check: bool,
    /// `\u0000` is refused.
    pub no_nul: bool,
    /// Halves of surrogate pairs are refused.
    pub no_surrogate: bool,
    /// Keys named twice are merged.
    pub merges: bool,
    /// Numbers beyond 64 bits become floating point.
    pub rounds: bool,
}

impl JsonRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let escapes = value.windows(2).any(|pair| pair == b"\\u");
        if !self.check && !self.merges && !self.rounds && !escapes {
            return Ok(Applied::Same);
        }
        let mut found = Found::default();
        if Walk::new(value, self).run(&mut found).is_none() {
            return lost(event::VALUE_NOT_PARSED);
        }
        if (self.no_nul && found.nul) || (self.no_surrogate && found.surrogate) {
            rewrite(value, self, out);
            return converted(if self.no_nul && found.nul { event::JSON_NUL } else { event::JSON_SURROGATE });
        }
        let changed = if self.merges && found.twice {
            event::JSON_KEY_TWICE
        } else if self.rounds && found.rounded {
            event::JSON_NUMBER_ROUNDED
        } else {
            return Ok(Applied::Same);
        };
        out.extend_from_slice(value);
        converted(changed)
    }
}

#[derive(Debug, Default)]
struct Found {
    nul: bool,
    surrogate: bool,
    twice: bool,
    rounded: bool,
}

/// A walk over JSON text.
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    rule: &'a JsonRule,
    /// For each level: none for an array, the keys seen for an object.
    levels: Vec<Option<Vec<Vec<u8>>>>,
}

impl<'a> Walk<'a> {
    fn new(text: &'a [u8], rule: &'a JsonRule) -> Walk<'a> {
        Walk { text, at: 0, rule, levels: Vec::new() }
    }

    /// Walks to the end; none when this is no JSON.
    fn run(&mut self, found: &mut Found) -> Option<()> {
        std::str::from_utf8(self.text).ok()?;
        let mut want_value = true;
        loop {
            self.blanks();
            if want_value {
                match self.peek() {
                    Some(b'{') => {
                        self.open(Some(Vec::new()))?;
                        if self.peek() == Some(b'}') {
                            self.at += 1;
                            self.levels.pop();
                        } else {
                            self.key(found)?;
                            continue;
                        }
                    }
                    Some(b'[') => {
                        self.open(None)?;
                        if self.peek() != Some(b']') {
                            continue;
                        }
                        self.at += 1;
                        self.levels.pop();
                    }
                    Some(b'"') => {
                        self.string(found)?;
                    }
                    Some(b'-' | b'0'..=b'9') => self.number(found)?,
                    _ => self.word()?,
                }
                want_value = false;
                continue;
            }
            let Some(level) = self.levels.last() else {
                return (self.at == self.text.len()).then_some(());
            };
            let is_object = level.is_some();
            let closing = if is_object { b'}' } else { b']' };
            match self.next()? {
                b',' if is_object => {
                    self.blanks();
                    self.key(found)?;
                    want_value = true;
                }
                b',' => want_value = true,
                byte if byte == closing => {
                    self.levels.pop();
                }
                _ => return None,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn open(&mut self, keys: Option<Vec<Vec<u8>>>) -> Option<()> {
        self.at += 1;
        self.levels.push(keys);
        self.blanks();
        (self.levels.len() <= MOST_LEVELS).then_some(())
    }

    /// A key and its colon.
    fn key(&mut self, found: &mut Found) -> Option<()> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let key = self.string(found)?;
        if self.rule.merges {
            let key = unescaped(key);
            if let Some(Some(keys)) = self.levels.last_mut() {
                found.twice |= keys.contains(&key);
                keys.push(key);
            }
        }
        self.blanks();
        (self.next()? == b':').then_some(())
    }

    /// A string; answers what is between its quotes.
    fn string(&mut self, found: &mut Found) -> Option<&'a [u8]> {
        self.at += 1;
        let began = self.at;
        loop {
            match self.next()? {
                b'"' => return self.text.get(began..self.at - 1),
                b'\\' => match self.next()? {
                    b'u' => {
                        let code = hex(self.text.get(self.at..self.at + 4)?)?;
                        self.at += 4;
                        match code {
                            0 => found.nul = true,
                            0xD800..=0xDBFF if self.low_follows() => self.at += 6,
                            0xD800..=0xDFFF => found.surrogate = true,
                            _ => {}
                        }
                    }
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    _ => return None,
                },
                0..=0x1F => return None,
                _ => {}
            }
        }
    }

    fn low_follows(&self) -> bool {
        low_half(self.text.get(self.at..).unwrap_or_default())
    }

    fn number(&mut self, found: &mut Found) -> Option<()> {
        let began = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        let text = std::str::from_utf8(self.text.get(began..self.at)?).ok()?;
        if self.rule.rounds && !found.rounded {
            let exact = if whole {
                text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok()
            } else {
                // Fifteen digits survive floating point, whatever they are.
                let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
                mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count() <= 15
                    && text.parse::<f64>().is_ok_and(f64::is_finite)
            };
            found.rounded = !exact;
        }
        Some(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Option<()> {
        let began = self.at;
        self.digits();
        (self.at > began).then_some(())
    }

    fn word(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let word = [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word))?;
        self.at += word.len();
        Some(())
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))
}

/// Whether the escaped second half of a surrogate pair stands here.
fn low_half(text: &[u8]) -> bool {
    text.starts_with(b"\\u")
        && text.get(2..6).and_then(hex).is_some_and(|code| (0xDC00..=0xDFFF).contains(&code))
}

/// A key as it is compared: escapes of whole characters resolved.
fn unescaped(key: &[u8]) -> Vec<u8> {
    if !key.contains(&b'\\') {
        return key.to_vec();
    }
    let quoted = [b"\"", key, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| key.to_vec(), String::into_bytes)
}

/// Copies JSON that was found well formed, without `\u0000` and with `\ufffd` for half pairs.
fn rewrite(value: &[u8], rule: &JsonRule, out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(byte) = rest.first() {
        let mut taken = 1;
        if *byte == b'\\' {
            taken = 2;
            if let Some(code) = rest.strip_prefix(b"\\u").and_then(|rest| rest.get(..4)).and_then(hex) {
                taken = 6;
                let pair = (0xD800..=0xDBFF).contains(&code) && low_half(rest.get(6..).unwrap_or_default());
                if pair {
                    taken = 12;
                } else if code == 0 && rule.no_nul {
                    rest = rest.get(taken..).unwrap_or_default();
                    continue;
                } else if (0xD800..=0xDFFF).contains(&code) && rule.no_surrogate {
                    out.extend_from_slice(b"\\ufffd");
                    rest = rest.get(taken..).unwrap_or_default();
                    continue;
                }
            }
        }
        out.extend_from_slice(rest.get(..taken).unwrap_or(rest));
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// A PostgreSQL array as JSON: its elements as strings, since their type is not known here. Bounds other than 1 are
/// a change of the value and so refused.
pub(super) fn from_array(value: &[u8], out: &mut Vec<u8>) -> Verdict {
    match write_array(value, out) {
        Some(()) => Ok(Applied::Written),
        None => {
            out.clear();
            lost(event::VALUE_NOT_PARSED)
        }
    }
}

fn write_array(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    std::str::from_utf8(value).ok()?;
    let mut level = 0usize;
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        at += 1;
        match byte {
            b'{' => {
                level += 1;
                out.push(b'[');
            }
            b'}' => {
                level = level.checked_sub(1)?;
                out.push(b']');
                if level == 0 {
                    return (at == value.len()).then_some(());
                }
            }
            b',' if level > 0 => out.push(b','),
            b'"' if level > 0 => {
                let mut element = Vec::new();
                loop {
                    match value.get(at)? {
                        b'"' => break,
                        b'\\' => {
                            element.push(*value.get(at + 1)?);
                            at += 2;
                        }
                        byte => {
                            element.push(*byte);
                            at += 1;
                        }
                    }
                }
                at += 1;
                string(&element, out)?;
            }
            _ if level > 0 => {
                let rest = value.get(at - 1..)?;
                let end = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
                let element = rest.get(..end)?;
                at += end - 1;
                if element == b"NULL" {
                    out.extend_from_slice(b"null");
                } else {
                    string(element, out)?;
                }
            }
            _ => return None,
        }
    }
    None
}

fn string(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(&mut *out, std::str::from_utf8(text).ok()?).ok()
}
