//! The one transcoder: proto messages to canonical JSON and back, in the words of grpcurl.
//!
//! In: typed messages or bytes and a descriptor. Out: JSON text (lowerCamelCase, zero values left out,
//! 64-bit integers as strings, times as `1.5s` and RFC 3339), or the message a JSON text means.
//! Never: sends anything.
//! Tests: below.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use shanty_proto::v1;
use std::io;

/// What keeps a text or a message from being read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The text is not the JSON of such a message.
    #[error("cannot read {what} as {message}: {source}")]
    Text {
        /// Where the text comes from.
        what: String,
        /// The message it should be.
        message: String,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A message cannot be written as JSON.
    #[error("cannot write {0} as JSON: {1}")]
    Write(String, serde_json::Error),
    /// Bytes and descriptor do not belong together.
    #[error("cannot read the bytes of {0}: {1}")]
    Bytes(String, prost::DecodeError),
    /// A descriptor set is broken or lacks a message.
    #[error("cannot find the description of {0}")]
    Unknown(String),
}

/// A message with its full proto name, so that its descriptor can be found.
pub(crate) trait Named: Message + Default {
    /// Full name, for example `shanty.v1.Run`.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:ident),* $(,)?) => {
        $(impl Named for v1::$message {
            const NAME: &'static str = concat!("shanty.v1.", stringify!($message));
        })*
    };
}

named!(
    Run,
    RunEvent,
    Report,
    JobSpec,
    Job,
    Node,
    Cluster,
    ClusterEvent,
    ListRunsResponse,
    ListShardsResponse,
    ListJobsResponse,
    ListNodesResponse,
    ListTermsResponse,
    ListConnectionsResponse,
    CheckConnectionResponse
);

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Two spaces a level.
    Pretty,
    /// One line.
    Line,
}

/// The descriptors of the public API.
pub(crate) fn public_pool() -> Result<DescriptorPool, Error> {
    DescriptorPool::decode(shanty_proto::PUBLIC_DESCRIPTORS)
        .map_err(|error| Error::Unknown(format!("the public API ({error})")))
}

/// A typed message as JSON.
pub(crate) fn of<M: Named>(message: &M, layout: Layout) -> Result<String, Error> {
    let descriptor =
        public_pool()?.get_message_by_name(M::NAME).ok_or_else(|| Error::Unknown(M::NAME.to_owned()))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|error| Error::Bytes(M::NAME.to_owned(), error))?;
    of_dynamic(&dynamic, layout)
}

/// A dynamic message as JSON.
pub(crate) fn of_dynamic(message: &DynamicMessage, layout: Layout) -> Result<String, Error> {
    let mut out = Vec::new();
    let options = SerializeOptions::new();
    let written = match layout {
        Layout::Pretty => {
            let pretty = Numbers(PrettyFormatter::new());
            message.serialize_with_options(
                &mut serde_json::Serializer::with_formatter(&mut out, pretty),
                &options,
            )
        }
        Layout::Line => {
            let line = Numbers(CompactFormatter);
            message
                .serialize_with_options(&mut serde_json::Serializer::with_formatter(&mut out, line), &options)
        }
    };
    let name = || prost_reflect::ReflectMessage::descriptor(message).full_name().to_owned();
    written.map_err(|error| Error::Write(name(), error))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The typed message that a JSON text means; `what` names the text in errors.
pub(crate) fn read<M: Named>(text: &str, what: &str) -> Result<M, Error> {
    let descriptor =
        public_pool()?.get_message_by_name(M::NAME).ok_or_else(|| Error::Unknown(M::NAME.to_owned()))?;
    let dynamic = one_dynamic(&descriptor, text, what)?;
    M::decode(dynamic.encode_to_vec().as_slice()).map_err(|error| Error::Bytes(M::NAME.to_owned(), error))
}

fn one_dynamic(descriptor: &MessageDescriptor, text: &str, what: &str) -> Result<DynamicMessage, Error> {
    let refuse =
        |source| Error::Text { what: what.to_owned(), message: descriptor.name().to_owned(), source };
    let mut reader = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(descriptor.clone(), &mut reader).map_err(refuse)?;
    reader.end().map_err(refuse)?;
    Ok(message)
}

/// All messages in a text, one JSON object after the other.
pub(crate) fn read_all(
    descriptor: &MessageDescriptor,
    text: &str,
    what: &str,
) -> Result<Vec<DynamicMessage>, Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut messages = Vec::new();
    while reader.end().is_err() {
        let message = DynamicMessage::deserialize(descriptor.clone(), &mut reader).map_err(|source| {
            Error::Text { what: what.to_owned(), message: descriptor.name().to_owned(), source }
        })?;
        messages.push(message);
    }
    Ok(messages)
}

/// Writes whole doubles without `.0`, as protojson does (`2000`, not `2000.0`).
struct Numbers<F>(F);

impl<F: Formatter> Formatter for Numbers<F> {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        // Every integer below 2^53 is exact in a double, and prints without an exponent.
        if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
            write!(writer, "{value:.0}")
        } else {
            self.0.write_f64(writer, value)
        }
    }
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_as_grpcurl_prints_it() {
        let load = v1::HttpLoadSpec {
            url: "http://127.0.0.1/".into(),
            rate: 2000.0,
            duration: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            keep_alive: Some(false),
            ..v1::HttpLoadSpec::default()
        };
        let run = v1::Run {
            name: "runs/adhoc.1".into(),
            spec: Some(v1::JobSpec { kind: Some(v1::job_spec::Kind::HttpLoad(load)) }),
            state: v1::run::State::Running.into(),
            create_time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            progress: Some(v1::Progress {
                kind: Some(v1::progress::Kind::HttpLoad(v1::LoadProgress {
                    sent: Some(12),
                    errors: Some(0),
                    target_rate: Some(0.5),
                    ..v1::LoadProgress::default()
                })),
                ..v1::Progress::default()
            }),
            ..v1::Run::default()
        };
        let json = of(&run, Layout::Line).unwrap();
        assert_eq!(
            json,
            "{\"name\":\"runs/adhoc.1\",\"spec\":{\"httpLoad\":{\"url\":\"http://127.0.0.1/\",\"rate\":2000,\
             \"duration\":\"1.500s\",\"keepAlive\":false}},\"state\":\"RUNNING\",\
             \"createTime\":\"2027-01-15T08:00:00Z\",\
             \"progress\":{\"httpLoad\":{\"targetRate\":0.5,\"sent\":\"12\",\"errors\":\"0\"}}}"
        );
        assert!(of(&run, Layout::Pretty).unwrap().starts_with("{\n  \"name\": \"runs/adhoc.1\",\n"));
    }

    #[test]
    fn snake_and_camel_case_mean_the_same() {
        let snake: v1::JobSpec =
            read(r#"{"http_load":{"url":"u","max_connections":3,"arrivals":"POISSON"}}"#, "x").unwrap();
        let camel: v1::JobSpec =
            read(r#"{"httpLoad":{"url":"u","maxConnections":3,"arrivals":2}}"#, "x").unwrap();
        assert_eq!(snake, camel);
    }

    #[test]
    fn a_wrong_field_is_refused_with_its_place() {
        let error = read::<v1::JobSpec>("{\"http_load\":{\n  \"ratee\":1}}", "spec.json").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("spec.json") && text.contains("ratee") && text.contains("line 2"), "{text}");
    }

    #[test]
    fn several_objects_are_several_messages() {
        let pool = public_pool().unwrap();
        let descriptor = pool.get_message_by_name("shanty.v1.GetRunRequest").unwrap();
        assert_eq!(read_all(&descriptor, "{} {\"name\":\"a.1\"}\n", "stdin").unwrap().len(), 2);
        assert_eq!(read_all(&descriptor, " \n", "stdin").unwrap().len(), 0);
        assert!(read_all(&descriptor, "{} x", "stdin").is_err());
    }
}
