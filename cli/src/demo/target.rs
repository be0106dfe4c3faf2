//! A small HTTP/1.1 server to aim at: keep-alive, pipelining, the same short answer to everything.
//!
//! In: connections. Out: `200 OK` with two bytes. Never: reads a body longer than its buffer; it closes then.
//! Tests: below.

use crate::context::interrupted;
use crate::error::Error;
use crate::exit::Exit;
use shanty_rt::task::Scope;
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
}

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
    tokio::select! {
        () = serve(listener) => {}
        () = interrupted() => {}
    }
    Ok(Exit::Done)
}

/// Serves connections for ever.
async fn serve(listener: TcpListener) {
    let mut scope = Scope::new();
    loop {
        // An accept fails when the connection is gone already or descriptors run out; both pass.
        match listener.accept().await {
            Ok((stream, _)) => scope.spawn("connection", answer(stream)),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
        scope.reap();
    }
}

async fn answer(mut stream: TcpStream) {
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
        while let Some(length) = request_length(&buffer[done..filled]) {
            done += length;
            answers.extend_from_slice(ANSWER);
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
        scope.spawn("target", serve(listener));
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3)).await.unwrap();
        let mut answers = vec![0; ANSWER.len() * 3];
        stream.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, ANSWER.repeat(3));
    }
}
