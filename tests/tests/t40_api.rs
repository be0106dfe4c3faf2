//! The public API from outside: reflection, health, errors that say what is allowed.
//!
//! In: one master without workers. Out: what a stranger with grpcurl sees.

use prost::Message as _;
use serde_json::json;
use shanty_proto::v1;
use shanty_tests::cluster::{Client, Cluster};
use shanty_tests::patience::until;
use std::collections::BTreeSet;
use std::time::Duration;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

const SERVICES: [&str; 5] = [
    "shanty.v1.RunService",
    "shanty.v1.JobService",
    "shanty.v1.NodeService",
    "shanty.v1.ConnectionService",
    "shanty.v1.ClusterService",
];

/// Names of services, and for each of ours the file that describes it, over one version of reflection.
macro_rules! reflect {
    ($version:ident, $client:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new($client.channel.clone());
        let mut asks = vec![MessageRequest::ListServices(String::new())];
        asks.extend(SERVICES.map(|name| MessageRequest::FileContainingSymbol(name.to_owned())));
        let asks: Vec<ServerReflectionRequest> = asks
            .into_iter()
            .map(|ask| ServerReflectionRequest { host: String::new(), message_request: Some(ask) })
            .collect();
        let mut answers =
            client.server_reflection_info(tokio_stream::iter(asks)).await.expect("reflection").into_inner();
        let mut names = BTreeSet::new();
        let mut described = BTreeSet::new();
        while let Some(answer) = answers.message().await.expect("an answer") {
            match answer.message_response {
                Some(MessageResponse::ListServicesResponse(list)) => {
                    names.extend(list.service.into_iter().map(|service| service.name));
                }
                Some(MessageResponse::FileDescriptorResponse(files)) => {
                    for file in files.file_descriptor_proto {
                        let file = prost_types::FileDescriptorProto::decode(file.as_slice()).expect("a file");
                        assert!(file.source_code_info.is_some(), "{} has no comments", file.name());
                        described.extend(
                            file.service
                                .iter()
                                .map(|service| format!("{}.{}", file.package(), service.name())),
                        );
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        (names, described)
    }};
}

#[tokio::test]
async fn reflection_old_and_new_shows_every_public_service_and_no_other() {
    let cluster = Cluster::builder().workers(0).start().await;
    let client = cluster.client();
    for (names, described) in [reflect!(v1, client), reflect!(v1alpha, client)] {
        for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
            assert!(names.contains(service), "{service} is not among {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("internal")), "{names:?}");
        for service in SERVICES {
            assert!(described.contains(service), "{service} is not among {described:?}");
        }
    }
}

#[tokio::test]
async fn health_says_that_a_leader_serves() {
    let cluster = Cluster::builder().workers(0).start().await;
    let client = HealthClient::new(cluster.client().channel);
    for service in ["", "shanty.v1.RunService", "leader"] {
        until(service, Duration::from_secs(5), async || {
            let request = HealthCheckRequest { service: service.to_owned() };
            match client.clone().check(request).await.map(|answer| answer.into_inner().status()) {
                Ok(ServingStatus::Serving) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

async fn refusal(client: &Client, spec: serde_json::Value) -> (Vec<String>, tonic::Status) {
    let status = client.start(&json!({ "spec": spec })).await.expect_err("this is not a run");
    let details = status.get_details_bad_request().map(|found| found.field_violations).unwrap_or_default();
    (details.into_iter().map(|violation| violation.field).collect(), status)
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once_with_what_is_allowed() {
    let cluster = Cluster::builder().workers(0).start().await;
    let client = cluster.client();
    let wrong = json!({ "http_load": {
        "url": "ftp://example.org", "method": "ge t", "rate": -1, "duration": "0s", "thresholds": ["p98_ms<5"],
    }});
    let (fields, status) = refusal(&client, wrong).await;
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    for field in ["url", "method", "rate", "duration", "thresholds"] {
        let path = format!("spec.http_load.{field}");
        assert!(fields.iter().any(|found| found.starts_with(&path)), "{path} is not among {fields:?}");
    }
    assert!(status.get_details_error_info().is_some());

    let (fields, _) = refusal(&client, json!({})).await;
    assert!(fields.iter().any(|field| field.starts_with("spec")), "{fields:?}");
    let both = json!({ "http_load": { "url": "http://127.0.0.1:1/", "rate": 5, "connections": 5, "duration": "1s" }});
    assert!(!refusal(&client, both).await.0.is_empty());
    let public = json!({ "http_load": { "url": "http://192.0.2.7/", "rate": 5, "duration": "1s" }});
    assert!(refusal(&client, public).await.0.iter().any(|field| field == "spec.http_load.url"));
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_nearest() {
    let cluster = Cluster::builder().workers(0).start().await;
    let client = cluster.client();
    let job: v1::CreateJobRequest = shanty_tests::cluster::message(
        "CreateJobRequest",
        &json!({ "job_id": "nightly", "job": { "spec": { "http_load":
            { "url": "http://127.0.0.1:9/", "rate": 1, "duration": "1s" } } } }),
    );
    let made = client.jobs.clone().create_job(job).await.expect("kept").into_inner();
    assert_eq!(made.name, "jobs/nightly");
    let request = v1::GetJobRequest { name: "nigthly".to_owned() };
    let status = client.jobs.clone().get_job(request).await.expect_err("no such job");
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert!(status.message().contains("nightly"), "{status}");
    assert!(status.get_details_resource_info().is_some());
    // The bare and the full name are one.
    for name in ["nightly", "jobs/nightly"] {
        let request = v1::GetJobRequest { name: name.to_owned() };
        assert_eq!(
            client.jobs.clone().get_job(request).await.expect("a job").into_inner().name,
            "jobs/nightly"
        );
    }
}

#[tokio::test]
async fn a_job_is_kept_changed_run_and_removed() {
    let cluster = Cluster::builder().start().await;
    let client = cluster.client();
    let origin = shanty_tests::origin::Origin::start();
    let spec = json!({ "http_load": { "url": origin.url(), "rate": 20, "duration": "1s" } });
    let create: v1::CreateJobRequest = shanty_tests::cluster::message(
        "CreateJobRequest",
        &json!({ "job_id": "smoke", "job": { "title": "Smoke", "spec": spec } }),
    );
    let job: v1::Job = client.jobs.clone().create_job(create).await.expect("kept").into_inner();
    let stale = v1::Job { etag: "older".to_owned(), ..job.clone() };
    let update = v1::UpdateJobRequest { job: Some(stale), ..Default::default() };
    let refused =
        client.jobs.clone().update_job(update).await.expect_err("another's change is not overwritten");
    assert_eq!(refused.code(), tonic::Code::Aborted);

    let run = v1::RunJobRequest { name: "smoke".to_owned(), ..Default::default() };
    let run = client.jobs.clone().run_job(run).await.expect("a run").into_inner();
    assert_eq!(run.name, "runs/smoke.1");
    assert_eq!(client.wait("smoke.1").await.expect("it ends").state(), v1::run::State::Succeeded);
    assert_eq!(origin.count(), 20);
    let delete = v1::DeleteJobRequest { name: "smoke".to_owned(), ..Default::default() };
    client.jobs.clone().delete_job(delete).await.expect("removed");
    assert_eq!(client.run("smoke.1").await.expect("its runs stay").name, "runs/smoke.1");
}
