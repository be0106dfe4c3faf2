//! The bytes of the request, made once.
//!
//! In: a settled spec. Out: bytes that are sent as they are. Headers of the user take the place of `Host`,
//! `User-Agent` and `Connection`; `Content-Length` is always the engine's.
//! Tests: below.

use shanty_model::kind::http_load::Settled;

/// The request's bytes.
pub(super) fn bytes(settled: &Settled) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + settled.body.len());
    let mut line = |parts: &[&[u8]]| {
        for part in parts {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
    };
    let given = |name: &str| settled.headers.iter().any(|(n, _)| n.as_str() == name);
    line(&[settled.method.as_str().as_bytes(), b" ", settled.url.path.as_bytes(), b" HTTP/1.1"]);
    if !given("host") {
        line(&[b"Host: ", settled.url.authority.as_bytes()]);
    }
    if !given("user-agent") {
        line(&[b"User-Agent: shanty/", env!("CARGO_PKG_VERSION").as_bytes()]);
    }
    for (name, value) in &settled.headers {
        line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
    }
    if !settled.body.is_empty() || matches!(settled.method.as_str(), "POST" | "PUT" | "PATCH") {
        line(&[b"Content-Length: ", settled.body.len().to_string().as_bytes()]);
    }
    if !settled.keep_alive && !given("connection") {
        line(&[b"Connection: close"]);
    }
    line(&[]);
    out.extend_from_slice(&settled.body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_model::kind::http_load::Spec;
    use std::time::Duration;

    fn text(spec: Spec) -> String {
        let spec = Spec { rate: Some(1.0), duration: Some(Duration::from_secs(1)), ..spec };
        String::from_utf8(bytes(&spec.settle().unwrap())).unwrap()
    }

    #[test]
    fn a_plain_get_has_host_and_user_agent() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text(Spec { url: "http://[::1]:8080/a?b=c".into(), ..Spec::default() }),
            format!("GET /a?b=c HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: shanty/{version}\r\n\r\n")
        );
    }

    #[test]
    fn headers_of_the_user_take_the_place_of_ours_and_bodies_have_their_length() {
        let headers = [("Host", "shop.test"), ("User-Agent", "me"), ("X-A", "1")];
        let spec = Spec {
            url: "http://127.0.0.1/".into(),
            method: "POST".into(),
            headers: headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            body: Some(b"abc".to_vec()),
            keep_alive: Some(false),
            ..Spec::default()
        };
        assert_eq!(
            text(spec),
            "POST / HTTP/1.1\r\nhost: shop.test\r\nuser-agent: me\r\nx-a: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        );
        let put = Spec { url: "http://127.0.0.1/".into(), method: "PUT".into(), ..Spec::default() };
        assert!(text(put).contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn httparse_reads_back_what_was_made() {
        let made = text(Spec { url: "http://127.0.0.1/x".into(), ..Spec::default() });
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut headers);
        assert!(request.parse(made.as_bytes()).unwrap().is_complete());
        assert_eq!((request.method, request.path), (Some("GET"), Some("/x")));
    }
}
