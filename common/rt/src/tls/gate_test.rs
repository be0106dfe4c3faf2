//! Two ends: who gets in, what the others are told, and what a rotation changes.

use super::super::authority_test::{Authority, Files, Pems};
use super::super::{connect, endpoint};
use super::*;
use crate::cause::innermost;
use crate::task::Scope;
use std::error::Error as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

struct Served {
    address: String,
    credentials: Option<Credentials>,
    _scope: Scope,
}

/// A health service behind a gate.
async fn serve(credentials: Option<Credentials>) -> Served {
    serve_at("127.0.0.1:0", credentials).await
}

async fn serve_at(listen: &str, credentials: Option<Credentials>) -> Served {
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (passed, streams) = mpsc::channel::<io::Result<Stream>>(4);
    let gate = Gate::new(credentials.clone());
    let mut scope = Scope::new();
    scope.spawn("gate", async move {
        let mut each = Scope::new();
        while let Ok((stream, peer)) = listener.accept().await {
            let (gate, passed) = (gate.clone(), passed.clone());
            each.spawn("connection", async move {
                if let Some(stream) = gate.pass(stream, peer).await {
                    let _gone = passed.send(Ok(stream)).await;
                }
            });
        }
    });
    let (_, health) = tonic_health::server::health_reporter();
    let incoming = tokio_stream::wrappers::ReceiverStream::new(streams);
    scope.spawn("server", async move {
        Server::builder().add_service(health).serve_with_incoming(incoming).await.unwrap();
    });
    Served { address, credentials, _scope: scope }
}

fn open(files: &Files) -> Credentials {
    Credentials::open(&files.settings).unwrap().unwrap()
}

async fn call(channel: Channel) -> Result<(), String> {
    match HealthClient::new(channel).check(HealthCheckRequest::default()).await {
        Ok(_) => Ok(()),
        Err(status) => Err(status.source().map_or(status.to_string(), innermost)),
    }
}

async fn ask(address: &str, credentials: Option<&Credentials>) -> Result<(), String> {
    let endpoint = endpoint(address, credentials).unwrap();
    let channel = connect(&endpoint, credentials).await.map_err(|error| innermost(&error))?;
    call(channel).await
}

#[tokio::test]
async fn those_with_a_certificate_of_the_authority_get_in_and_nobody_else() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue(30));
    let served = serve(Some(open(&files))).await;
    let mate = open(&Files::new(&authority.issue(20)));
    assert_eq!(ask(&served.address, Some(&mate)).await, Ok(()));
    assert_eq!(mate.met(&served.address), served.credentials.as_ref().map(Credentials::not_after));

    // Knows our authority, and is not of it.
    let stranger =
        Authority::new("theirs").issue(30).with(|pems| pems.authority = authority.issue(1).authority);
    let error = ask(&served.address, Some(&open(&Files::new(&stranger)))).await.unwrap_err();
    assert!(error.contains("it refuses the certificate") && error.contains("no authority"), "{error}");
    // Does not know it.
    let error =
        ask(&served.address, Some(&open(&Files::new(&Authority::new("x").issue(3))))).await.unwrap_err();
    assert!(error.contains("its certificate is not signed by an authority of"), "{error}");
    // Is at an address that its certificate does not hold.
    let elsewhere = serve_at("127.0.0.2:0", Some(open(&files))).await;
    let error = ask(&elsewhere.address, Some(&mate)).await.unwrap_err();
    assert!(error.contains("its certificate is not for `127.0.0.2`"), "{error}");
    let error = ask(&served.address, None).await.unwrap_err();
    assert!(error.contains("this port speaks TLS") && error.contains("--tls-certificate"), "{error}");
}

#[tokio::test]
async fn tls_at_a_plaintext_port_is_told_apart() {
    let served = serve(None).await;
    assert_eq!(ask(&served.address, None).await, Ok(()));
    let mate = open(&Files::new(&Authority::new("ours").issue(30)));
    let error = ask(&served.address, Some(&mate)).await.unwrap_err();
    assert!(error.contains("a plaintext port?"), "{error}");
}

#[tokio::test]
async fn a_web_browser_is_told_what_this_is() {
    let files = Files::new(&Authority::new("ours").issue(30));
    for (credentials, part) in [(None, "without TLS"), (Some(open(&files)), "speaks TLS")] {
        let served = serve(credentials).await;
        let mut stream = TcpStream::connect(&served.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains(part), "{answer}");
    }
}

#[tokio::test]
async fn a_rotation_changes_new_connections_and_leaves_those_that_stand() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (server, client) = (Files::new(&old.issue(30)), Files::new(&old.issue(30)));
    let (served, mate) = (serve(Some(open(&server))).await, open(&client));
    let stays = open(&Files::new(&old.issue(30)));
    let standing = connect(&endpoint(&served.address, Some(&mate)).unwrap(), Some(&mate)).await.unwrap();
    assert_eq!(call(standing.clone()).await, Ok(()));

    let both = format!("{}{}", old.issue(1).authority, new.issue(1).authority);
    let bundled = |pems: Pems| pems.with(|pems| pems.authority = both.clone());
    for (at_server, at_client) in [
        (bundled(old.issue(31)), bundled(old.issue(31))),
        (bundled(new.issue(60)), bundled(new.issue(60))),
        (new.issue(61), new.issue(61)),
    ] {
        server.write(&at_server);
        client.write(&at_client);
        assert!(served.credentials.as_ref().unwrap().reload().await.unwrap());
        assert!(mate.reload().await.unwrap());
        assert_eq!(ask(&served.address, Some(&mate)).await, Ok(()));
        assert_eq!(mate.met(&served.address), served.credentials.as_ref().map(Credentials::not_after));
        assert_eq!(call(standing.clone()).await, Ok(()));
    }
    assert!(ask(&served.address, Some(&stays)).await.is_err(), "the old authority is gone");
    assert_eq!(call(standing).await, Ok(()), "what stands is left alone");
}
