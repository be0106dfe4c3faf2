//! One form of a JSON document: members by name, the last of those that share one; numbers by their value.
//!
//! ```text
//!  {  members, each `s<length>:<name>` and its value, by name  }      [  elements  ]
//!  s<length>:<text>     n<number>;     t  f  z for true, false, null
//! ```
//! In: JSON as a server prints it. Out: bytes. Never: a document that is no JSON taken for one: it stays as it is,
//! behind a mark. Tests: below.

use super::decimal;
use std::collections::BTreeMap;

/// Deeper documents are compared as they are printed.
const DEEPEST: u32 = 128;

/// Writes the form of a document.
pub(super) fn write(text: &[u8], out: &mut Vec<u8>) {
    let mut parser = Parser { text, at: 0 };
    let start = out.len();
    let whole = parser.value(out, 0).is_some();
    parser.blanks();
    if !whole || parser.at != text.len() {
        out.truncate(start);
        out.push(b'?');
        out.extend_from_slice(text);
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.text.get(self.at..)?.starts_with(word.as_bytes());
        found.then(|| self.at += word.len())
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        self.blanks();
        match self.peek()? {
            b'{' => self.object(out, depth),
            b'[' => self.array(out, depth),
            b'"' => {
                let text = self.string()?;
                string(&text, out);
                Some(())
            }
            b't' => self.word("true").map(|()| out.push(b't')),
            b'f' => self.word("false").map(|()| out.push(b'f')),
            b'n' => self.word("null").map(|()| out.push(b'z')),
            _ => self.number(out),
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        self.take(b'{')?;
        let mut members: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        self.blanks();
        if self.take(b'}').is_none() {
            loop {
                self.blanks();
                let name = self.string()?;
                self.blanks();
                self.take(b':')?;
                let mut value = Vec::new();
                self.value(&mut value, depth + 1)?;
                members.insert(name, value);
                self.blanks();
                if self.take(b',').is_none() {
                    break;
                }
            }
            self.take(b'}')?;
        }
        out.push(b'{');
        for (name, value) in members {
            string(&name, out);
            out.extend_from_slice(&value);
        }
        out.push(b'}');
        Some(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        self.take(b'[')?;
        out.push(b'[');
        self.blanks();
        if self.take(b']').is_none() {
            loop {
                self.value(out, depth + 1)?;
                self.blanks();
                if self.take(b',').is_none() {
                    break;
                }
            }
            self.take(b']')?;
        }
        out.push(b']');
        Some(())
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let number = rest.get(..length).filter(|number| !number.is_empty())?;
        self.at += length;
        out.push(b'n');
        decimal(number, out);
        out.push(b';');
        Some(())
    }

    /// A string with its escapes resolved; half of a surrogate pair becomes U+FFFD.
    fn string(&mut self) -> Option<Vec<u8>> {
        self.take(b'"')?;
        let mut text = Vec::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(text),
                b'\\' => self.escape(&mut text)?,
                byte => text.push(byte),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b'n' => text.push(b'\n'),
            b't' => text.push(b'\t'),
            b'r' => text.push(b'\r'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'"' | b'\\' | b'/' => text.push(byte),
            b'u' => {
                let first = self.hex()?;
                let letter = match first {
                    0xd800..=0xdbff => self.second_half(first),
                    _ => char::from_u32(first),
                };
                let mut buffer = [0; 4];
                let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
            }
            _ => return None,
        }
        Some(())
    }

    fn second_half(&mut self, first: u32) -> Option<char> {
        let before = self.at;
        let second = self.word("\\u").and_then(|()| self.hex());
        match second {
            Some(second @ 0xdc00..=0xdfff) => {
                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            }
            _ => {
                self.at = before;
                None
            }
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b's');
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write(text.as_bytes(), &mut out);
        out
    }

    #[test]
    fn documents_that_mean_the_same_have_one_form() {
        for (a, b) in [
            (r#"{"a":1,"b":[1,2]}"#, r#" { "b" : [ 1 , 2.0 ] , "a" : 1e0 } "#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#""\u00e9\ud83e\udd80\/""#, "\"é🦀/\""),
            (r#"["\ud83e"]"#, "[\"\u{fffd}\"]"),
            ("[]", " [ ] "),
            ("-0", "0"),
        ] {
            assert_eq!(form(a), form(b), "{a} {b}");
            assert_ne!(form(a).first(), Some(&b'?'), "{a}");
        }
    }

    #[test]
    fn documents_that_differ_have_forms_that_differ() {
        for (a, b) in [
            ("[1,2]", "[2,1]"),
            ("\"1\"", "1"),
            (r#"{"a":null}"#, "{}"),
            ("12345678901234567890", "12345678901234567891"),
            (r#"["a","b"]"#, r#"["a,b"]"#),
            ("true", "\"true\""),
            ("[[1],2]", "[[1,2]]"),
        ] {
            assert_ne!(form(a), form(b), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_json_stays_as_it_is() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "1 2", "nul", "\"\\x\""] {
            assert_eq!(form(text).first(), Some(&b'?'), "{text}");
        }
        assert_eq!(form(&"[".repeat(100_000)).first(), Some(&b'?'));
    }
}
