//! The end of a chunked body.
//!
//! In: bytes as they come. Out: how many of them belong to the body, and whether it has ended. Extensions and
//! trailers are skipped, up to 64 KiB together.
//! Tests: below and `response_test.rs`.

use super::head::MAX_HEAD;
use shanty_model::kind::http_load::ErrorClass;

/// Where in a chunked body the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a size, after this many digits.
    Size(u8),
    /// After a size, in white space before an extension or the line's end.
    AfterSize,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    /// At the beginning of a trailer line or of the last empty line.
    Trailer,
    InTrailer,
    TrailerLineFeed,
    LastLineFeed,
    End,
}

/// Reads a chunked body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    at: At,
    /// Size of the chunk being read, or what is left of it.
    left: u64,
    /// Bytes of extensions and trailers so far.
    skipped: usize,
}

/// Most hexadecimal digits of a size: 64 bits.
const MAX_DIGITS: u8 = 16;

impl Chunks {
    /// At the beginning of a body.
    pub(super) fn new() -> Chunks {
        Chunks { at: At::Size(0), left: 0, skipped: 0 }
    }

    /// Whether the body has ended.
    pub(super) fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Takes bytes up to the end of the body or of `bytes`; answers how many.
    ///
    /// # Errors
    /// `Malformed`, or `HeadTooLarge` for too much in extensions and trailers.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, ErrorClass> {
        let mut used = 0;
        while used < bytes.len() && self.at != At::End {
            if self.at == At::Data {
                let rest = bytes.len() - used;
                let here = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                self.left -= here as u64;
                used += here;
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
                continue;
            }
            self.at = self.after(bytes[used])?;
            used += 1;
        }
        Ok(used)
    }

    /// Where the byte after `byte` lies.
    fn after(&mut self, byte: u8) -> Result<At, ErrorClass> {
        let next = match (self.at, byte) {
            (At::Size(digits), _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err(ErrorClass::Malformed);
                }
                let value = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = (self.left << 4) | u64::from(value);
                At::Size(digits + 1)
            }
            (At::Size(1..) | At::AfterSize, b' ' | b'\t') => self.skip(At::AfterSize)?,
            (At::Size(1..) | At::AfterSize, b';') => self.skip(At::Extension)?,
            (At::Size(1..) | At::AfterSize | At::Extension, b'\r') => At::SizeLineFeed,
            (At::Extension, b'\n') => return Err(ErrorClass::Malformed),
            (At::Extension, _) => self.skip(At::Extension)?,
            (At::SizeLineFeed, b'\n') if self.left == 0 => At::Trailer,
            (At::SizeLineFeed, b'\n') => At::Data,
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size(0),
            (At::Trailer, b'\r') => At::LastLineFeed,
            (At::Trailer | At::InTrailer, b'\n') => return Err(ErrorClass::Malformed),
            (At::InTrailer, b'\r') => At::TrailerLineFeed,
            (At::Trailer | At::InTrailer, _) => self.skip(At::InTrailer)?,
            (At::TrailerLineFeed, b'\n') => At::Trailer,
            (At::LastLineFeed, b'\n') => At::End,
            (
                At::Size(_)
                | At::AfterSize
                | At::SizeLineFeed
                | At::Data
                | At::DataReturn
                | At::DataLineFeed
                | At::TrailerLineFeed
                | At::LastLineFeed
                | At::End,
                _,
            ) => return Err(ErrorClass::Malformed),
        };
        Ok(next)
    }

    fn skip(&mut self, next: At) -> Result<At, ErrorClass> {
        self.skipped += 1;
        if self.skipped > MAX_HEAD { Err(ErrorClass::HeadTooLarge) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(text: &[u8]) -> Result<(usize, bool), ErrorClass> {
        let mut chunks = Chunks::new();
        chunks.take(text).map(|used| (used, chunks.ended()))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_taken_and_nothing_after() {
        let body = b"4\r\nwiki\r\n0a ;x=\"y\"\r\n0123456789\r\n0\r\nA: b\r\n\r\nHTTP";
        assert_eq!(take(body), Ok((body.len() - 4, true)));
        assert_eq!(take(b"0\r\n\r\n"), Ok((5, true)));
        assert_eq!(take(b"3\r\nab"), Ok((5, false)));
    }

    #[test]
    fn what_breaks_the_rules_is_malformed() {
        for bad in [
            "\r\n",
            "g\r\n",
            "4\nwiki",
            "4\r\nwikix",
            "4\r\nwiki\n",
            "11111111111111111\r\n",
            "-1\r\n",
            "1;\n",
            " 1\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(take(bad.as_bytes()), Err(ErrorClass::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn an_endless_extension_or_trailer_is_too_large() {
        let long = "x".repeat(MAX_HEAD + 1);
        assert_eq!(take(format!("1;{long}").as_bytes()), Err(ErrorClass::HeadTooLarge));
        assert_eq!(take(format!("0\r\n{long}").as_bytes()), Err(ErrorClass::HeadTooLarge));
    }

    proptest! {
        /// Size lines agree with httparse, but for its leniency on a missing size and on a line feed in an
        /// extension.
        #[test]
        fn size_lines_agree_with_httparse(line in "[0-9a-fA-F]{0,17}[ \t]{0,2}(;[ -~]{0,8})?[g\r]?\n?") {
            let ours = {
                let mut chunks = Chunks::new();
                let mut sizes = None;
                for (i, byte) in line.bytes().enumerate() {
                    match chunks.after(byte) {
                        Ok(next) => chunks.at = next,
                        Err(_) => { sizes = Some(Err(())); break }
                    }
                    if matches!(chunks.at, At::Data | At::Trailer) {
                        sizes = Some(Ok((i + 1, chunks.left)));
                        break;
                    }
                }
                sizes
            };
            match httparse::parse_chunk_size(line.as_bytes()) {
                Ok(httparse::Status::Complete(theirs)) => {
                    let lenient = !line.as_bytes()[0].is_ascii_hexdigit() || line[..theirs.0 - 2].contains('\n');
                    prop_assert!(ours == Some(Ok(theirs)) || lenient && ours == Some(Err(())), "{ours:?} {theirs:?}");
                }
                Ok(httparse::Status::Partial) => prop_assert!(!matches!(ours, Some(Ok(_)))),
                Err(_) => prop_assert_eq!(ours, Some(Err(()))),
            }
        }
    }
}
