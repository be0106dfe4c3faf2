//! A small HTTP/1.1 server to aim at: keep-alive, pipelining, the same short answer to everything.
//!
//! In: connections. Out: `200 OK` with two bytes; the instant of each request in a file, if one is named.
//! Never: reads a body longer than its buffer; it closes then.
//! Tests: below.

use crate::context::interrupted;
use crate::error::Error;
use crate::exit::Exit;
use shanty_rt::task::Scope;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
/// A request head and a small body fit.
const BUFFER_BYTES: usize = 16 * 1024;

/// Flags of the hidden command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// A file for the instant of each request: a line of microseconds since 1970
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Instants of requests that are not in the file yet, microseconds since 1970; none where nobody wants them.
#[derive(Debug, Clone, Default)]
struct Record(Option<Arc<Mutex<Vec<i64>>>>);

impl Record {
    fn push(&self, at: i64) {
        if let Some(waiting) = &self.0 {
            waiting.lock().unwrap_or_else(PoisonError::into_inner).push(at);
        }
    }

    fn take(&self) -> Vec<i64> {
        let waiting = self
            .0
            .as_ref()
            .map(|all| std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner)));
        waiting.unwrap_or_default()
    }
}

/// Between two writes to the file.
const WRITE: Duration = Duration::from_millis(100);

/// Serves until it is interrupted.
///
/// # Errors
/// When the address is taken.
pub(crate) async fn run(args: Args) -> Result<Exit, Error> {
    let listener = TcpListener::bind(&args.listen).await.map_err(|error| {
        Error::local(
            format!("cannot listen on {}: {error}", args.listen),
            "name another port: --listen 127.0.0.1:0",
        )
    })?;
    let record = Record(args.record.is_some().then(Arc::default));
    let mut scope = Scope::new();
    if let Some(path) = args.record {
        let file = std::fs::File::create(&path).map_err(|error| {
            Error::local(
                format!("cannot make {}: {error}", path.display()),
                "name another file: --record FILE",
            )
        })?;
        scope.spawn("record", write(file, record.clone()));
    }
    tokio::select! {
        () = serve(listener, record) => {}
        () = interrupted() => {}
    }
    Ok(Exit::Done)
}

/// Writes down what was recorded, for ever.
async fn write(mut file: std::fs::File, record: Record) {
    let mut tick = tokio::time::interval(WRITE);
    loop {
        tick.tick().await;
        let lines: String = record.take().iter().map(|at| format!("{at}\n")).collect();
        // One write for all, so that a reader sees whole lines.
        if let Err(error) = file.write_all(lines.as_bytes()) {
            tracing::warn!(%error, "the record is not written any more");
            return;
        }
    }
}

/// Serves connections for ever.
async fn serve(listener: TcpListener, record: Record) {
    let mut scope = Scope::new();
    loop {
        // An accept fails when the connection is gone already or descriptors run out; both pass.
        match listener.accept().await {
            Ok((stream, _)) => scope.spawn("connection", answer(stream, record.clone())),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        scope.reap();
    }
}

async fn answer(mut stream: TcpStream, record: Record) {
    let _delays_only = stream.set_nodelay(true);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    let mut answers = Vec::new();
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(n) => filled += n,
        }
        answers.clear();
        let mut done = 0;
        let at = shanty_rt::clock::unix_ns() / 1000;
        while let Some(length) = request_length(&buffer[done..filled]) {
            done += length;
            answers.extend_from_slice(ANSWER);
            record.push(at);
        }
        if stream.write_all(&answers).await.is_err() {
            return;
        }
        buffer.copy_within(done..filled, 0);
        filled -= done;
        if filled == BUFFER_BYTES {
            return;
        }
    }
}

/// Bytes of the first whole request in `bytes`, its body included; none when it is not whole yet.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]);
    let body = text.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap_or(0))
    });
    let whole = head.checked_add(body.unwrap_or(0))?;
    (whole <= bytes.len()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_with_their_bodies() {
        let get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let post = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(request_length(get), Some(get.len()));
        assert_eq!(request_length(post), Some(post.len()));
        assert_eq!(request_length(&post[..post.len() - 1]), None);
        assert_eq!(request_length(&[&get[..], &post[..]].concat()), Some(get.len()));
    }

    #[tokio::test]
    async fn pipelined_requests_get_as_many_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut scope = Scope::new();
        let record = Record(Some(Arc::default()));
        scope.spawn("target", serve(listener, record.clone()));
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3)).await.unwrap();
        let mut answers = vec![0; ANSWER.len() * 3];
        stream.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, ANSWER.repeat(3));
        assert_eq!(record.take().len(), 3, "each is recorded");
    }
}
