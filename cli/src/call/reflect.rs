//! Descriptors over the wire: grpc.reflection.v1, and v1alpha where a server knows only that.
//!
//! In: names of services, messages, enums. Out: descriptors with everything they refer to.
//! The two versions have the same messages under another path.
//! Tests: `cli/tests/call.rs`.

use super::codec::BytesCodec;
use crate::client::refusal;
use crate::error::Error;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use prost_types::FileDescriptorProto;
use std::collections::{BTreeMap, BTreeSet};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// The descriptors of one server.
pub(super) struct Reflection {
    channel: Channel,
    addr: String,
    headers: Vec<(String, String)>,
    path: &'static str,
    pool: DescriptorPool,
}

impl Reflection {
    /// Of the server behind `channel`; `headers` go with every question.
    pub(super) fn new(channel: Channel, addr: String, headers: Vec<(String, String)>) -> Reflection {
        Reflection { channel, addr, headers, path: V1, pool: DescriptorPool::new() }
    }

    /// The names of all services, sorted.
    pub(super) async fn services(&mut self) -> Result<Vec<String>, Error> {
        match self.ask(MessageRequest::ListServices(String::new())).await? {
            Ok(MessageResponse::ListServicesResponse(list)) => {
                let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
                names.sort();
                Ok(names)
            }
            Ok(_) => Err(unexpected("the list of services")),
            Err(status) => Err(Error::status("list services", status)),
        }
    }

    /// A service by its full name, or by its last word when only one has it.
    pub(super) async fn service(&mut self, name: &str) -> Result<ServiceDescriptor, Error> {
        let full = if name.contains('.') { name.to_owned() } else { self.full_name(name).await? };
        let pool = self.symbol(&full).await?;
        match pool.get_service_by_name(&full) {
            Some(service) => Ok(service),
            None => {
                Err(Error::wrong(format!("{full} is not a service"), "see what there is: shanty api list"))
            }
        }
    }

    async fn full_name(&mut self, short: &str) -> Result<String, Error> {
        let all = self.services().await?;
        let having: Vec<_> = all.iter().filter(|name| name.rsplit('.').next() == Some(short)).collect();
        match having.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let words: Vec<_> = all.iter().map(|name| name.rsplit('.').next().unwrap_or(name)).collect();
                let near = shanty_model::id::nearest(short, words.iter().copied());
                let hint = if near.is_empty() {
                    String::new()
                } else {
                    format!("; did you mean {}?", near.join(", "))
                };
                Err(Error::wrong(format!("no service {short}{hint}"), "see what there is: shanty api list"))
            }
            several => {
                let names = several.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ");
                Err(Error::wrong(format!("{short} may be {names}"), "write the service with its package"))
            }
        }
    }

    /// The pool, with `symbol` and all that it refers to in it.
    pub(super) async fn symbol(&mut self, symbol: &str) -> Result<DescriptorPool, Error> {
        let files = match self.ask(MessageRequest::FileContainingSymbol(symbol.to_owned())).await? {
            Ok(answer) => file_protos(answer)?,
            Err(status) if status.code() == Code::NotFound => {
                return Err(Error::wrong(
                    format!("the server at {} knows no {symbol}", self.addr),
                    "see what there is: shanty api list",
                ));
            }
            Err(status) => return Err(Error::status(format!("look up {symbol}"), status)),
        };
        let mut known: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        let mut queue = files;
        while let Some(file) = queue.pop() {
            for name in &file.dependency {
                if self.pool.get_file_by_name(name).is_some() || !asked.insert(name.clone()) {
                    continue;
                }
                match self.ask(MessageRequest::FileByFilename(name.clone())).await? {
                    Ok(answer) => queue.extend(file_protos(answer)?),
                    Err(status) => return Err(Error::status(format!("look up the file {name}"), status)),
                }
            }
            known.insert(file.name().to_owned(), file);
        }
        self.pool.add_file_descriptor_protos(known.into_values()).map_err(|error| {
            Error::local(
                format!("the descriptors of {symbol} are broken: {error}"),
                "tell whoever made that server; its reflection data do not hold together",
            )
        })?;
        Ok(self.pool.clone())
    }

    /// One question; the inner error is the server's "not that".
    async fn ask(&mut self, question: MessageRequest) -> Result<Result<MessageResponse, Status>, Error> {
        match self.ask_at(self.path, question.clone()).await {
            Err(status) if status.code() == Code::Unimplemented && self.path == V1 => {
                self.path = V1ALPHA;
                match self.ask_at(V1ALPHA, question).await {
                    Err(status) if status.code() == Code::Unimplemented => Err(Error::local(
                        format!("the server at {} has no reflection", self.addr),
                        "switch reflection on at the server, or use its own client",
                    )),
                    answer => self.sort(answer).await,
                }
            }
            answer => self.sort(answer).await,
        }
    }

    async fn sort(
        &self,
        answer: Result<MessageResponse, Status>,
    ) -> Result<Result<MessageResponse, Status>, Error> {
        match answer {
            Ok(MessageResponse::ErrorResponse(error)) => {
                Ok(Err(Status::new(Code::from_i32(error.error_code), error.error_message)))
            }
            Ok(answer) => Ok(Ok(answer)),
            Err(status) if status.code() == Code::NotFound => Ok(Err(status)),
            Err(status) => Err(refusal("ask for descriptors", &self.addr, status).await),
        }
    }

    async fn ask_at(&self, path: &'static str, question: MessageRequest) -> Result<MessageResponse, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let question = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut request = Request::new(tokio_stream::once(question.encode_to_vec().into()));
        super::add_headers(&mut request, &self.headers)
            .map_err(|error| Status::internal(error.to_string()))?;
        let asked = grpc.streaming(request, PathAndQuery::from_static(path), BytesCodec);
        let mut answers = asked.await?.into_inner();
        let bytes = answers.message().await?.ok_or_else(|| Status::internal("reflection did not answer"))?;
        let answer = ServerReflectionResponse::decode(bytes)
            .map_err(|error| Status::internal(format!("reflection answered something else: {error}")))?;
        answer.message_response.ok_or_else(|| Status::internal("reflection answered nothing"))
    }
}

fn file_protos(answer: MessageResponse) -> Result<Vec<FileDescriptorProto>, Error> {
    let MessageResponse::FileDescriptorResponse(files) = answer else {
        return Err(unexpected("a file descriptor"));
    };
    let decode = |bytes: Vec<u8>| FileDescriptorProto::decode(bytes.as_slice());
    files.file_descriptor_proto.into_iter().map(decode).collect::<Result<_, _>>().map_err(|error| {
        Error::local(
            format!("the server sent a broken file descriptor: {error}"),
            "tell whoever made that server; its reflection data do not hold together",
        )
    })
}

fn unexpected(asked: &str) -> Error {
    Error::local(
        format!("the server answered something else than {asked}"),
        "tell whoever made that server; its reflection does not keep to the protocol",
    )
}
