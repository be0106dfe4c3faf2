//! `shanty call` and `shanty api`: any method of any gRPC server that answers reflection, as grpcurl does.
//!
//! | file | holds |
//! |---|---|
//! | `codec` | messages as bytes |
//! | `reflect` | descriptors over the wire, v1 then v1alpha |
//! | `describe` | descriptors as .proto text with comments |
//! | `template` | a request to fill in |
//! | `api` | `api list`, `api describe` |
//!
//! In: a method and JSON. Out: JSON on standard output, errors with decoded details, exit code 64 + N.
//! Never: uses the descriptors built into this program; what the server says counts.
//! Tests: `cli/tests/call.rs`.

pub(crate) mod api;
mod codec;
mod describe;
mod reflect;
mod template;

use crate::client::refusal;
use crate::context::{Context, interrupted};
use crate::error::Error;
use crate::exit::Exit;
use crate::json::{self, Layout};
use crate::run::read_text;
use crate::screen::Output;
use crate::{explain, quantity};
use codec::BytesCodec;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use reflect::Reflection;
use tonic::client::Grpc;
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Flags of `shanty call`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// SERVICE/METHOD; the service's package may be left out: RunService/GetRun
    method: String,
    /// Request as JSON; @ and - read standard input; several objects for a client stream
    #[arg(short, long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// A header of the call, NAME: VALUE; repeat for more
    #[arg(short = 'H', long, value_parser = quantity::header, value_name = "HEADER")]
    header: Vec<(String, String)>,
    /// Print a request to fill in instead of calling
    #[arg(long)]
    template: bool,
}

/// Calls a method.
///
/// # Errors
/// When the method is unknown or the JSON does not fit; a refusal by the server is printed here.
pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit, Error> {
    let link = cx.client.link().await?;
    let mut reflection = Reflection::new(link.channel.clone(), link.addr.clone(), args.header.clone());
    let method = find_method(&mut reflection, &args.method).await?;
    if args.template {
        cx.screen.data(&template::of(&method.input()))?;
        return Ok(Exit::Done);
    }
    let (text, what) = match args.data.as_str() {
        "@" | "-" => (read_text("-")?, "standard input"),
        inline => (inline.to_owned(), "the data"),
    };
    let mut messages = json::read_all(&method.input(), &text, what)?;
    if !method.is_client_streaming() {
        if messages.len() > 1 {
            return Err(Error::wrong(
                format!("{} takes one message, and {what} holds {}", method.name(), messages.len()),
                "call it once for each",
            ));
        }
        if messages.is_empty() {
            messages.push(DynamicMessage::new(method.input()));
        }
    }
    let calling = call(cx, link.channel, &method, messages, &args.header);
    let called = tokio::select! {
        called = calling => called,
        () = interrupted() => return Err(Error::Interrupted),
    };
    match called {
        Ok(()) => Ok(Exit::Done),
        Err(Called::Refused(status)) => match refusal(method.name(), &link.addr, status).await {
            Error::Status { status, .. } => {
                cx.screen.say(&refused(cx, &status));
                Ok(Exit::Status(status.code()))
            }
            other => Err(other),
        },
        Err(Called::Failed(error)) => Err(error),
    }
}

enum Called {
    Refused(Status),
    Failed(Error),
}

impl From<Error> for Called {
    fn from(error: Error) -> Called {
        Called::Failed(error)
    }
}

async fn call(
    cx: &Context,
    channel: Channel,
    method: &MethodDescriptor,
    messages: Vec<DynamicMessage>,
    headers: &[(String, String)],
) -> Result<(), Called> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(64 << 20);
    grpc.ready().await.map_err(|error| Called::Refused(Status::from_error(error.into())))?;
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = PathAndQuery::try_from(path).map_err(|error| {
        Error::wrong(format!("this is no method: {error}"), "see what there is: shanty api list")
    })?;
    let sent: Vec<_> = messages.iter().map(|message| message.encode_to_vec().into()).collect();
    let mut request = Request::new(tokio_stream::iter(sent));
    add_headers(&mut request, headers)?;
    let streaming = method.is_server_streaming();
    let deadline = cx.client.timeout().or((!streaming).then_some(std::time::Duration::from_secs(60)));
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    let exchange = async {
        let mut answers =
            grpc.streaming(request, path, BytesCodec).await.map_err(Called::Refused)?.into_inner();
        // `-o json` is a line a message; else as grpcurl prints.
        let layout = match cx.screen.output {
            Output::Json => Layout::Line,
            Output::Table => Layout::Pretty,
        };
        while let Some(bytes) = answers.message().await.map_err(Called::Refused)? {
            let message = DynamicMessage::decode(method.output(), bytes).map_err(|error| {
                Error::Json(json::Error::Bytes(method.output().full_name().to_owned(), error))
            })?;
            cx.screen.data(&json::of_dynamic(&message, layout).map_err(Error::Json)?)?;
        }
        Ok(())
    };
    match deadline {
        None => exchange.await,
        Some(deadline) => tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|_| {
            let late = format!("no answer within {}", quantity::time(deadline));
            Err(Called::Refused(Status::deadline_exceeded(late)))
        }),
    }
}

fn add_headers<T>(request: &mut Request<T>, headers: &[(String, String)]) -> Result<(), Error> {
    for (name, value) in headers {
        let wrong = || {
            Error::wrong(
                format!("{name}: {value} is not a header"),
                "names are lower case ASCII, values visible ASCII",
            )
        };
        let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| wrong())?;
        let value = MetadataValue::try_from(value).map_err(|_| wrong())?;
        request.metadata_mut().append(key, value);
    }
    Ok(())
}

/// `package.Service/Method`, `Service/Method`, or with a dot instead of the slash.
async fn find_method(reflection: &mut Reflection, text: &str) -> Result<MethodDescriptor, Error> {
    let text = text.trim_start_matches('/');
    let (service, method) = text.rsplit_once('/').or_else(|| text.rsplit_once('.')).ok_or_else(|| {
        Error::wrong(format!("{text} is not SERVICE/METHOD"), "see what there is: shanty api list")
    })?;
    let service = reflection.service(service).await?;
    let found = service.methods().find(|m| m.name() == method);
    found.ok_or_else(|| {
        let names = service.methods().map(|m| m.name().to_owned()).collect::<Vec<_>>();
        let near = shanty_model::id::nearest(method, names.iter().map(String::as_str));
        let hint =
            if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
        Error::wrong(
            format!("{} has no method {method}{hint}", service.full_name()),
            format!("see what it has: shanty api describe {}", service.full_name()),
        )
    })
}

/// A refusal as grpcurl prints it, with details decoded, and a next step.
fn refused(cx: &Context, status: &Status) -> String {
    let paint = cx.screen.err;
    let mut text = format!(
        "{}\n  Code: {}\n  Message: {}",
        paint.bad("ERROR:"),
        explain::code_name(status.code()),
        status.message()
    );
    let details = details(status);
    if !details.is_empty() {
        text.push_str("\n  Details:");
        for (i, detail) in details.iter().enumerate() {
            let indented = detail.replace('\n', "\n    ");
            text.push_str(&format!("\n  {})\t{indented}", i + 1));
        }
    }
    let next = match status.code() {
        Code::InvalidArgument => "see the request's fields: shanty call METHOD --template".to_owned(),
        _ => explain::next_step(status),
    };
    format!("{text}\n{} {next}", paint.strong("next: "))
}

/// The details of a status as JSON, each with its type.
fn details(status: &Status) -> Vec<String> {
    let Ok(decoded) = tonic_types::Status::decode(status.details()) else { return Vec::new() };
    let pool = DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let one = |any: &prost_types::Any| {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        let known = pool
            .get_message_by_name(name)
            .and_then(|descriptor| DynamicMessage::decode(descriptor, any.value.as_slice()).ok())
            .and_then(|message| json::of_dynamic(&message, Layout::Pretty).ok());
        match known.as_deref().map(|json| json.strip_prefix('{').unwrap_or(json)) {
            Some("}") => format!("{{\n  \"@type\": \"{}\"\n}}", any.type_url),
            Some(rest) => format!("{{\n  \"@type\": \"{}\",{rest}", any.type_url),
            None => format!("{{\n  \"@type\": \"{}\"\n}} ({} bytes)", any.type_url, any.value.len()),
        }
    };
    decoded.details.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::{ErrorDetails, StatusExt as _};

    #[test]
    fn details_are_printed_decoded_with_their_type() {
        let mut given = ErrorDetails::new();
        given.add_bad_request_violation("spec.http_load.rate", "must be positive");
        given.set_error_info("INVALID_SPEC", "shanty", HashMap::new());
        let status = Status::with_error_details(Code::InvalidArgument, "1 field is wrong", given);
        let texts = details(&status);
        assert_eq!(texts.len(), 2);
        let values: Vec<serde_json::Value> = texts.iter().map(|t| serde_json::from_str(t).unwrap()).collect();
        let bad = values.iter().find(|v| v["@type"] == "type.googleapis.com/google.rpc.BadRequest").unwrap();
        assert_eq!(bad["fieldViolations"][0]["field"], "spec.http_load.rate");
    }

    #[test]
    fn a_header_that_is_none_is_refused() {
        let mut request = Request::new(());
        assert!(add_headers(&mut request, &[("a b".into(), "x".into())]).is_err());
        assert!(add_headers(&mut request, &[("Authorization".into(), "Bearer x".into())]).is_ok());
        assert!(request.metadata().contains_key("authorization"));
    }
}
