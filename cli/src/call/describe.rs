//! Descriptors as .proto text with the comments that came over the wire.
//!
//! In: a pool and a symbol. Out: text.
//! Tests: below.

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};
use std::collections::BTreeSet;

/// A service, method, message, enum or field of the pool.
pub(super) fn symbol(pool: &DescriptorPool, name: &str) -> Option<String> {
    let mut text = String::new();
    if let Some(found) = pool.get_service_by_name(name) {
        service(&found, &mut text);
    } else if let Some(found) = pool.get_message_by_name(name) {
        message(&found, 0, &mut text);
    } else if let Some(found) = pool.get_enum_by_name(name) {
        enumeration(&found, 0, &mut text);
    } else {
        let (parent, last) = name.rsplit_once('.')?;
        if let Some(found) = pool.get_service_by_name(parent) {
            method(&found.methods().find(|m| m.name() == last)?, 0, &mut text);
        } else {
            field(&pool.get_message_by_name(parent)?.get_field_by_name(last)?, 0, &mut text);
        }
    }
    Some(text)
}

/// The first sentence about a method.
pub(super) fn first_comment_line(method: &MethodDescriptor) -> String {
    let text = comment(&method.parent_service().parent_file(), method.path());
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let locations = proto.source_code_info.as_ref().map_or(&[][..], |info| &info.location);
    let found = locations.iter().find(|l| l.path == path);
    found.and_then(|l| l.leading_comments.clone()).unwrap_or_default()
}

fn write_comment(file: &FileDescriptor, path: &[i32], depth: usize, text: &mut String) {
    for line in comment(file, path).lines() {
        push(depth, &format!("// {}", line.strip_prefix(' ').unwrap_or(line)), text);
    }
}

fn push(depth: usize, line: &str, text: &mut String) {
    text.push_str(&"  ".repeat(depth));
    text.push_str(line.trim_end());
    text.push('\n');
}

fn service(service: &ServiceDescriptor, text: &mut String) {
    write_comment(&service.parent_file(), service.path(), 0, text);
    push(0, &format!("service {} {{", service.full_name()), text);
    for one in service.methods() {
        method(&one, 1, text);
    }
    push(0, "}", text);
}

fn method(method: &MethodDescriptor, depth: usize, text: &mut String) {
    write_comment(&method.parent_service().parent_file(), method.path(), depth, text);
    let stream = |streams: bool| if streams { "stream " } else { "" };
    let line = format!(
        "rpc {}({}{}) returns ({}{});",
        method.name(),
        stream(method.is_client_streaming()),
        method.input().full_name(),
        stream(method.is_server_streaming()),
        method.output().full_name()
    );
    push(depth, &line, text);
}

fn message(message: &MessageDescriptor, depth: usize, text: &mut String) {
    write_comment(&message.parent_file(), message.path(), depth, text);
    let name = if depth == 0 { message.full_name() } else { message.name() };
    push(depth, &format!("message {name} {{"), text);
    for child in message.child_enums() {
        enumeration(&child, depth + 1, text);
    }
    for child in message.child_messages().filter(|child| !child.is_map_entry()) {
        self::message(&child, depth + 1, text);
    }
    let mut shown = BTreeSet::new();
    for one in message.fields() {
        match one.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
            None => field(&one, depth + 1, text),
            Some(oneof) if shown.insert(oneof.full_name().to_owned()) => {
                write_comment(&message.parent_file(), oneof.path(), depth + 1, text);
                push(depth + 1, &format!("oneof {} {{", oneof.name()), text);
                for choice in oneof.fields() {
                    field(&choice, depth + 2, text);
                }
                push(depth + 1, "}", text);
            }
            Some(_) => {}
        }
    }
    push(depth, "}", text);
}

fn field(field: &FieldDescriptor, depth: usize, text: &mut String) {
    write_comment(&field.parent_message().parent_file(), field.path(), depth, text);
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            format!("map<{}, {}>", type_name(&key), type_name(&value))
        }
        kind => type_name(&kind),
    };
    let label = if field.is_map() {
        ""
    } else if field.is_list() {
        "repeated "
    } else if field.containing_oneof().is_some_and(|oneof| oneof.is_synthetic()) {
        "optional "
    } else {
        ""
    };
    push(depth, &format!("{label}{kind} {} = {};", field.name(), field.number()), text);
}

fn enumeration(enumeration: &EnumDescriptor, depth: usize, text: &mut String) {
    write_comment(&enumeration.parent_file(), enumeration.path(), depth, text);
    let name = if depth == 0 { enumeration.full_name() } else { enumeration.name() };
    push(depth, &format!("enum {name} {{"), text);
    for value in enumeration.values() {
        write_comment(&enumeration.parent_file(), value.path(), depth + 1, text);
        push(depth + 1, &format!("{} = {};", value.name(), value.number()), text);
    }
    push(depth, "}", text);
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(enumeration) => enumeration.full_name().to_owned(),
        Kind::Double => "double".into(),
        Kind::Float => "float".into(),
        Kind::Int32 => "int32".into(),
        Kind::Int64 => "int64".into(),
        Kind::Uint32 => "uint32".into(),
        Kind::Uint64 => "uint64".into(),
        Kind::Sint32 => "sint32".into(),
        Kind::Sint64 => "sint64".into(),
        Kind::Fixed32 => "fixed32".into(),
        Kind::Fixed64 => "fixed64".into(),
        Kind::Sfixed32 => "sfixed32".into(),
        Kind::Sfixed64 => "sfixed64".into(),
        Kind::Bool => "bool".into(),
        Kind::String => "string".into(),
        Kind::Bytes => "bytes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn comments_come_along() {
        let pool = json::public_pool().unwrap();
        let text = symbol(&pool, "shanty.v1.HttpLoadSpec").unwrap();
        assert!(text.contains("// A distributed HTTP load test."), "{text}");
        assert!(text.contains("  map<string, string> headers = 3;"), "{text}");
        assert!(text.contains("  optional bool keep_alive = 14;"), "{text}");
        assert!(text.contains("  oneof body {\n    // Body as UTF-8 text.\n    string text = 4;"), "{text}");
    }

    #[test]
    fn enums_and_methods_are_found_by_their_names() {
        let pool = json::public_pool().unwrap();
        let text = symbol(&pool, "shanty.v1.Run.State").unwrap();
        assert!(text.starts_with("// Where a run is in its life.\nenum shanty.v1.Run.State {\n"), "{text}");
        assert!(
            symbol(&pool, "shanty.v1.RunService.GetRun")
                .unwrap()
                .contains("rpc GetRun(shanty.v1.GetRunRequest)")
        );
        assert!(symbol(&pool, "shanty.v1.Nothing").is_none());
    }
}
