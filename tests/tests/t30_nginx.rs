//! A load test against a server that is not ours: nginx's own count of accesses is the report's.
//!
//! In: Debian's nginx on loopback with an access log. Out: lines of the log beside the report.

use serde_json::json;
use shanty_proto::v1::run::State;
use shanty_tests::cluster::{Cluster, Process, free_port};
use shanty_tests::patience::{eventually, until};
use shanty_tests::skip;
use std::path::PathBuf;
use std::time::Duration;

struct Nginx {
    port: u16,
    folder: tempfile::TempDir,
    process: Process,
}

impl Nginx {
    async fn start() -> Option<Nginx> {
        let program = skip::program("nginx", "nginx-light")?;
        let folder = tempfile::Builder::new().prefix("shanty-nginx-").tempdir().expect("temporary folder");
        let port = free_port();
        let at = folder.path().display();
        // As root it would change to a user that cannot write here.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "daemon off; master_process off; {user} pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 1024; }}
             http {{
               log_format plain '$status';
               access_log {at}/access.log plain;
               client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
               uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
               keepalive_requests 100;
               server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} location /gone {{ return 404; }} }}
             }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).expect("written");
        let args = ["-e", "stderr", "-c"].map(str::to_owned).into_iter().chain([file.display().to_string()]);
        let process =
            Process::start("nginx", folder.path(), &program, &args.collect::<Vec<_>>()).expect("started");
        until("nginx listens", Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await
        })
        .await;
        Some(Nginx { port, folder, process })
    }

    fn access_log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    fn accesses(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.access_log()).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn nginx_has_counted_what_the_report_says() {
    let Some(mut nginx) = Nginx::start().await else { return };
    let cluster = Cluster::builder().workers(2).start().await;
    let client = cluster.client();
    // nginx ends a connection after 100 requests: the engine opens others and loses none.
    for (path, status) in [("", 200), ("gone", 404)] {
        let before = nginx.accesses().len();
        let url = format!("http://127.0.0.1:{}/{path}", nginx.port);
        let request = json!({ "spec": { "http_load": { "url": url, "rate": 1000, "duration": "3s" } } });
        let run = client.start(&request).await.expect("accepted");
        let run = client.wait(&run.name).await.expect("the run ends");
        assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
        let report = client.load_report(&run.name).await.expect("a report");
        assert_eq!((report.scheduled, report.sent, report.completed), (3000, 3000, 3000), "{report:?}");
        let statuses: Vec<(u32, i64)> = report.statuses.iter().map(|one| (one.status, one.count)).collect();
        assert_eq!(statuses, [(status, 3000)]);
        // nginx writes a line after it has sent the answer.
        let counted = async || nginx.accesses().len() >= before + 3000;
        eventually("the access log is written", Duration::from_secs(5), counted).await;
        let lines = nginx.accesses();
        assert_eq!(lines.len() - before, 3000);
        assert!(lines[before..].iter().all(|line| *line == status.to_string()));
    }
    assert!(nginx.process.ended().is_none(), "{}", nginx.process.last_words());
}

#[tokio::test]
async fn a_closed_loop_agrees_with_nginx_too() {
    let Some(nginx) = Nginx::start().await else { return };
    let cluster = Cluster::builder().workers(2).start().await;
    let client = cluster.client();
    let url = format!("http://127.0.0.1:{}/", nginx.port);
    let request = json!({ "spec": { "http_load": { "url": url, "connections": 6, "duration": "2s" } } });
    let run = client.start(&request).await.expect("accepted");
    let run = client.wait(&run.name).await.expect("the run ends");
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    assert!(report.sent > 1000, "{report:?}");
    assert_eq!(report.sent, report.completed + report.errors, "{report:?}");
    let counted = async || i64::try_from(nginx.accesses().len()).is_ok_and(|lines| lines >= report.completed);
    eventually("the access log is written", Duration::from_secs(5), counted).await;
    let lines = i64::try_from(nginx.accesses().len()).expect("small");
    // Requests under way at the end may be with nginx and without a whole answer.
    assert!((report.completed..=report.sent).contains(&lines), "{lines} lines: {report:?}");
}
