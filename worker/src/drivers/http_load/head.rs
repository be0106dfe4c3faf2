//! The head of an answer: its status, and how its body ends.
//!
//! Read with httparse. The newest head is remembered with what it means: servers send the same bytes again
//! and again (but for the date, once a second), and equal bytes mean the same.
//! In: bytes from the beginning of a head. Out: [`Head`], or that more bytes are needed, or an error class.
//! Never: takes a head from memory that differs in a single byte.
//! Tests: below and `response_test.rs`.

use shanty_model::kind::http_load::ErrorClass;

/// Largest head, its empty line included.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Most header lines of an answer.
const MAX_HEADERS: usize = 128;
/// Heads above this are not remembered, so that the comparison stays in the first cache level.
const MAX_REMEMBERED: usize = 4096;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many bytes; 0 for no body.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head, the empty line included.
    pub(super) len: usize,
    /// HTTP status, 100 to 999.
    pub(super) status: u16,
    /// How the body ends.
    pub(super) framing: Framing,
    /// Whether the connection may be used again.
    pub(super) keep: bool,
}

/// Reads heads of answers to one request, sent again and again.
#[derive(Debug)]
pub(super) struct Heads {
    /// The request's method is HEAD: answers have no body, whatever they say.
    bodiless: bool,
    remembered: Vec<u8>,
    meaning: Head,
}

impl Heads {
    /// For answers to a request whose method is HEAD, or is not.
    pub(super) fn new(bodiless: bool) -> Heads {
        let meaning = Head { len: 0, status: 0, framing: Framing::Length(0), keep: false };
        Heads { bodiless, remembered: Vec::with_capacity(MAX_REMEMBERED), meaning }
    }

    /// The head at the beginning of `bytes`; none when it is not whole.
    ///
    /// # Errors
    /// `Malformed` for what cannot be, or become, a head; `HeadTooLarge` above [`MAX_HEAD`].
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<Head>, ErrorClass> {
        if !self.remembered.is_empty() && bytes.starts_with(&self.remembered) {
            return Ok(Some(self.meaning));
        }
        self.read_anew(bytes)
    }

    #[cold]
    fn read_anew(&mut self, bytes: &[u8]) -> Result<Option<Head>, ErrorClass> {
        let Some(head) = parse(bytes, self.bodiless)? else { return Ok(None) };
        if head.len <= MAX_REMEMBERED && head.status >= 200 {
            self.remembered.clear();
            self.remembered.extend_from_slice(&bytes[..head.len]);
            self.meaning = head;
        }
        Ok(Some(head))
    }
}

fn parse(bytes: &[u8], bodiless: bool) -> Result<Option<Head>, ErrorClass> {
    // httparse skips empty lines before the status line, which only a server owes its clients.
    if bytes.first().is_some_and(|first| *first != b'H') {
        return Err(ErrorClass::Malformed);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => return Err(ErrorClass::HeadTooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ErrorClass::Malformed),
    };
    if len > MAX_HEAD {
        return Err(ErrorClass::HeadTooLarge);
    }
    let status = response.code.filter(|code| *code >= 100).ok_or(ErrorClass::Malformed)?;
    let is_http11 = response.version == Some(1);
    let fields = Fields::of(response.headers)?;
    let without_body = bodiless || status < 200 || status == 204 || status == 304;
    let framing = match (without_body, fields.coding, fields.length) {
        (true, _, _) => Framing::Length(0),
        (false, Some(Coding::Chunked), _) => Framing::Chunked,
        (false, Some(Coding::Other), _) | (false, None, None) => Framing::UntilClose,
        (false, None, Some(length)) => Framing::Length(length),
    };
    // A message with both lengths may have been tampered with on the way: do not go on after it (RFC 9112 6.3).
    let ambiguous = fields.coding.is_some() && fields.length.is_some();
    let keep =
        !fields.close && !ambiguous && (is_http11 || fields.keep_alive) && framing != Framing::UntilClose;
    Ok(Some(Head { len, status, framing, keep }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

/// The header fields that say where an answer ends.
#[derive(Debug, Default)]
struct Fields {
    length: Option<u64>,
    coding: Option<Coding>,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn of(headers: &[httparse::Header<'_>]) -> Result<Fields, ErrorClass> {
        let mut fields = Fields::default();
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                for value in elements(header.value) {
                    let length = decimal(value).ok_or(ErrorClass::Malformed)?;
                    if fields.length.is_some_and(|other| other != length) {
                        return Err(ErrorClass::Malformed);
                    }
                    fields.length = Some(length);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                for value in elements(header.value) {
                    let chunked = value.eq_ignore_ascii_case(b"chunked");
                    fields.coding = Some(if chunked { Coding::Chunked } else { Coding::Other });
                }
            } else if header.name.eq_ignore_ascii_case("connection") {
                for value in elements(header.value) {
                    fields.close |= value.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= value.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(fields)
    }
}

/// The elements of a comma-separated list.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, ErrorClass> {
        Heads::new(false).read(text.as_bytes())
    }

    fn framing(fields: &str) -> Result<(Framing, bool), ErrorClass> {
        head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
            .map(|head| head.map(|h| (h.framing, h.keep)).unwrap())
    }

    #[test]
    fn a_body_ends_as_the_head_says() {
        assert_eq!(framing("Content-Length: 12\r\n"), Ok((Framing::Length(12), true)));
        assert_eq!(
            framing("content-length: 12, 12\r\nCONTENT-LENGTH: 12\r\n"),
            Ok((Framing::Length(12), true))
        );
        assert_eq!(
            framing("Content-Length: 1\r\nConnection: foo, Close\r\n"),
            Ok((Framing::Length(1), false))
        );
        assert_eq!(framing("Transfer-Encoding: gzip, Chunked\r\n"), Ok((Framing::Chunked, true)));
        assert_eq!(framing("Transfer-Encoding: gzip\r\n"), Ok((Framing::UntilClose, false)));
        assert_eq!(
            framing("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            Ok((Framing::Chunked, false))
        );
        assert_eq!(framing("X: y\r\n"), Ok((Framing::UntilClose, false)));
    }

    #[test]
    fn answers_without_a_body_have_none_whatever_they_say() {
        for status in [204, 304] {
            let read = head(&format!("HTTP/1.1 {status} x\r\nContent-Length: 9\r\n\r\n")).unwrap().unwrap();
            assert_eq!(read.framing, Framing::Length(0));
        }
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(Heads::new(true).read(text).unwrap().unwrap().framing, Framing::Length(0));
    }

    #[test]
    fn http_1_0_closes_unless_it_says_otherwise() {
        let keep = |fields: &str| head(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n")).unwrap().unwrap().keep;
        assert!(!keep("Content-Length: 0\r\n"));
        assert!(keep("Content-Length: 0\r\nConnection: keep-alive\r\n"));
        assert!(!keep("Connection: keep-alive\r\n"), "the body ends with the connection");
    }

    #[test]
    fn lengths_that_are_none_and_statuses_that_are_none_are_malformed() {
        for fields in ["-1", "+1", "1x", "", "1, 2", "1,", "99999999999999999999", "0x10", "1 2"] {
            assert_eq!(
                framing(&format!("Content-Length: {fields}\r\n")),
                Err(ErrorClass::Malformed),
                "{fields}"
            );
        }
        assert_eq!(framing("Content-Length: 1\r\nContent-Length: 2\r\n"), Err(ErrorClass::Malformed));
        for text in
            ["HTTP/1.1 099 x\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n", "SSH-2.0"]
        {
            assert_eq!(head(text), Err(ErrorClass::Malformed), "{text:?}");
        }
    }

    #[test]
    fn an_endless_head_is_too_large() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_HEAD));
        assert_eq!(head(&endless), Err(ErrorClass::HeadTooLarge));
        assert_eq!(head(&endless[..MAX_HEAD - 1]), Ok(None));
    }

    #[test]
    fn a_head_that_differs_in_one_byte_is_read_anew() {
        let mut heads = Heads::new(false);
        let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        let head = heads.read(first).unwrap().unwrap();
        assert_eq!(heads.read(first).unwrap().unwrap(), head);
        let other = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789x";
        assert_eq!(heads.read(other).unwrap().unwrap().framing, Framing::Length(11));
        let other = b"HTTP/1.1 503 OK\r\nContent-Length: 11\r\n\r\n0123456789x";
        assert_eq!(heads.read(other).unwrap().unwrap().status, 503);
        assert_eq!(heads.read(&other[..20]), Ok(None));
    }
}
