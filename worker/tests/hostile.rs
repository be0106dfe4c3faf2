//! Targets that break the rules: each breach is an error class, never a crash or a hang.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use shanty_model::kind::http_load::Spec;
use std::time::Duration;
use support::{Reply, Server, Sum, answer, closed, driver, open, plan, start};

/// 40 requests at a server that always replies so.
fn loaded(reply: Reply) -> Sum {
    let server = Server::start(move |_, _| reply.clone());
    let spec = Spec {
        timeout: Some(Duration::from_millis(400)),
        ..open(&server, 100.0, Duration::from_millis(400))
    };
    let (outcome, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    outcome.unwrap();
    assert_eq!((sum.sent, sum.completed + sum.failed(), sum.dropped), (40, 40, 0));
    sum
}

fn bytes(text: &str) -> Reply {
    Reply::Bytes(text.as_bytes().to_vec())
}

fn last(text: &str) -> Reply {
    Reply::Last(text.as_bytes().to_vec())
}

#[test]
fn garbage_and_wrong_lengths_are_malformed() {
    for reply in [
        bytes("garbage\r\n\r\n"),
        bytes("\0\u{1}\u{2}\u{3}"),
        bytes("HTTP/1.1 2x0 OK\r\n\r\n"),
        bytes("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"),
        bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc"),
        bytes("HTTP/1.1 101 Switching\r\n\r\n"),
        bytes("SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        assert_eq!(loaded(reply).only_error(), ("malformed", 40));
    }
}

#[test]
fn an_endless_head_is_too_large() {
    let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
    endless.extend(b"X-Filler: 0123456789012345678901234567890123456789\r\n".repeat(20).repeat(4));
    endless.extend(b"Y: ".iter().chain(&[b'z'; 100_000]));
    assert_eq!(loaded(Reply::Bytes(endless)).only_error(), ("head_too_large", 40));
}

#[test]
fn an_early_end_is_told_from_an_end_that_is_the_answers() {
    assert_eq!(loaded(last("")).only_error(), ("early_close", 40));
    assert_eq!(
        loaded(last("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")).only_error(),
        ("early_close", 40)
    );
    assert_eq!(
        loaded(last("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")).only_error(),
        ("early_close", 40)
    );
    let sum = loaded(last("HTTP/1.1 200 OK\r\n\r\nas long as it lasts"));
    assert_eq!((sum.completed, sum.failed()), (40, 0));
}

#[test]
fn a_reset_is_one() {
    assert_eq!(loaded(Reply::Reset).only_error(), ("reset", 40));
}

#[test]
fn an_answer_that_never_ends_is_a_timeout() {
    assert_eq!(
        loaded(bytes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")).only_error(),
        ("timeout", 40)
    );
    assert_eq!(loaded(bytes("HTTP/1.1 200 OK\r\n\r\nno end")).only_error(), ("timeout", 40));
}

#[test]
fn answers_in_single_bytes_and_after_interim_heads_are_whole() {
    let sum = loaded(Reply::Dribble(answer(200, "abc")));
    assert_eq!((sum.completed, sum.failed()), (40, 0));
    let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let sum = loaded(Reply::Dribble(chunked.to_vec()));
    assert_eq!(sum.statuses, [(404, 40)].into());
}

#[test]
fn bytes_that_nobody_asked_for_end_an_idle_connection_and_nothing_else() {
    let server = Server::start(|_, request| {
        if request == 0 {
            Reply::Dribble([answer(200, ""), b"HTTP/1.1 200 OK\r\n".to_vec()].concat())
        } else {
            Reply::Bytes(answer(200, ""))
        }
    });
    let spec = open(&server, 20.0, Duration::from_secs(1));
    let (_, sum) = start(&driver(1), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!(sum.sent, sum.completed + sum.failed());
    assert!(sum.errors.keys().all(|class| class == "malformed"), "{:?}", sum.errors);
    assert!(server.seen().connections >= 19, "each connection was given up: {}", server.seen().connections);
}

#[test]
fn a_server_that_closes_after_each_answer_costs_connections_and_no_errors() {
    let reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let server = Server::start(|_, _| Reply::Last(reply.to_vec()));
    let spec = closed(&server, 4, Duration::from_millis(500));
    let (_, sum) = start(&driver(1), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.failed(), sum.completed), (0, sum.sent));
    assert!(sum.sent > 20);
    assert_eq!(server.seen().connections as u64, sum.sent);
}

#[test]
fn a_server_that_closes_idle_connections_costs_no_errors() {
    // It says keep-alive and closes 20 ms after the answer; arrivals are 100 ms apart.
    let server = Server::start(|_, _| Reply::Last(answer(200, "x")));
    let spec = open(&server, 10.0, Duration::from_secs(1));
    let (_, sum) = start(&driver(1), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.completed, sum.failed()), (10, 0));
}
