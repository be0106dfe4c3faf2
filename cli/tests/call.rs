//! `shanty call` and `shanty api` against a server with reflection: v1, v1alpha only, and none.

mod support;

use support::{Fake, Reflection};

#[tokio::test]
async fn a_unary_call_prints_json_as_grpcurl_does() {
    let fake = Fake::start(Reflection::Both).await;
    let ran = fake.shanty(&["call", "shanty.v1.RunService/GetRun", "-d", r#"{"name":"adhoc.1"}"#]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("{\n  \"name\": \"runs/adhoc.1\",\n"), "{}", ran.out);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["spec"]["httpLoad"]["rate"], 100);
    assert_eq!(json["state"], "SUCCEEDED");
}

#[tokio::test]
async fn short_names_standard_input_and_headers_work() {
    let fake = Fake::start(Reflection::Both).await;
    for (method, data) in [("RunService/GetRun", "@"), ("shanty.v1.RunService.GetRun", "-")] {
        let words = ["call", method, "-d", data, "-H", "X-Test: seen"];
        let ran = fake.shanty_reading(&words, r#"{"name":"adhoc.1"}"#).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(fake.seen.header.lock().unwrap().take().as_deref(), Some("seen"));
    }
}

#[tokio::test]
async fn a_stream_prints_every_message_and_ends() {
    let fake = Fake::start(Reflection::Both).await;
    let words =
        ["call", "RunService/WatchRun", "-d", r#"{"name":"adhoc.1","interval":"0.5s"}"#, "-o", "json"];
    let ran = fake.shanty(&words).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.out.lines().count(), 4, "{}", ran.out);
    assert!(ran.out.lines().last().unwrap().contains("\"done\""), "{}", ran.out);
}

#[tokio::test]
async fn a_server_that_knows_only_v1alpha_answers_the_same() {
    let (new, old) = (Fake::start(Reflection::Both).await, Fake::start(Reflection::Alpha).await);
    let words = ["call", "RunService/GetRun", "-d", r#"{"name":"adhoc.1"}"#];
    assert_eq!(new.shanty(&words).await.out, old.shanty(&words).await.out);
    let words = ["api", "describe", "HttpLoadSpec"];
    let (new, old) = (new.shanty(&words).await, old.shanty(&words).await);
    assert_eq!(new.out, old.out);
    assert!(new.out.contains("// A distributed HTTP load test."), "{new:?}");
}

#[tokio::test]
async fn a_server_without_reflection_is_said_to_have_none() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&["call", "RunService/GetRun"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("has no reflection"), "{}", ran.err);
}

#[tokio::test]
async fn a_refusal_shows_its_details_decoded() {
    let fake = Fake::start(Reflection::Both).await;
    let ran = fake.shanty(&["call", "RunService/GetRun", "-d", r#"{"name":"nothing.1"}"#]).await;
    assert_eq!((ran.code, ran.out.as_str()), (69, ""), "{ran:?}");
    for part in
        ["Code: NotFound", "Message: no run nothing.1", "google.rpc.ErrorInfo", "RUN_NOT_FOUND", "next:"]
    {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[tokio::test]
async fn typos_are_answered_with_the_nearest() {
    let fake = Fake::start(Reflection::Both).await;
    let ran = fake.shanty(&["call", "RunServise/GetRun"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("did you mean RunService"), "{}", ran.err);
    let ran = fake.shanty(&["call", "RunService/GetRum"]).await;
    assert!(ran.err.contains("did you mean GetRun"), "{}", ran.err);
    let ran = fake.shanty(&["call", "RunService/GetRun", "-d", r#"{"nam":"x"}"#]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("nam"), "{}", ran.err);
}

#[tokio::test]
async fn a_template_can_be_sent_as_it_is_printed() {
    let fake = Fake::start(Reflection::Both).await;
    let template = fake.shanty(&["call", "RunService/ListShards", "--template"]).await;
    assert_eq!(template.code, 0, "{template:?}");
    assert!(template.out.contains("\"pageToken\": \"\""), "{}", template.out);
    let ran = fake.shanty_reading(&["call", "RunService/ListShards", "-d", "@"], &template.out).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test]
async fn the_list_shows_services_with_their_methods() {
    let fake = Fake::start(Reflection::Both).await;
    let ran = fake.shanty(&["api", "list"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("shanty.v1.RunService\n"), "{}", ran.out);
    assert!(ran.out.contains("  ChangeRun"), "{}", ran.out);
    assert_eq!(fake.shanty(&["api", "describe", "Run.State"]).await.code, 0);
    assert_eq!(fake.shanty(&["api", "describe", "Nonsense"]).await.code, 2);
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let fake = Fake::start(Reflection::Both).await;
    let words = ["call", "RunService/WatchRun", "-d", r#"{"name":"endless.1"}"#, "--timeout", "500ms"];
    let ran = fake.shanty(&words).await;
    assert!([65, 68].contains(&ran.code), "{ran:?}");
    assert!(ran.out.contains("snapshot"), "{}", ran.out);
}
