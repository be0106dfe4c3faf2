//! A request to fill in: every field with an empty value, the first choice of every oneof.
//!
//! In: a message descriptor. Out: JSON.
//! Tests: below.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use std::collections::BTreeSet;

/// The template of a message.
pub(super) fn of(message: &MessageDescriptor) -> String {
    let mut text = String::new();
    write_message(message, 0, &mut Vec::new(), &mut text);
    text
}

fn write_message(message: &MessageDescriptor, depth: usize, open: &mut Vec<String>, text: &mut String) {
    if let Some(known) = well_known(message.full_name()) {
        text.push_str(known);
        return;
    }
    // A message inside itself would never end.
    if open.iter().any(|name| name == message.full_name()) {
        text.push_str("{}");
        return;
    }
    open.push(message.full_name().to_owned());
    let mut chosen = BTreeSet::new();
    let fields: Vec<_> = message
        .fields()
        .filter(|field| match field.containing_oneof() {
            Some(oneof) if !oneof.is_synthetic() => chosen.insert(oneof.full_name().to_owned()),
            Some(_) | None => true,
        })
        .collect();
    if fields.is_empty() {
        text.push_str("{}");
    } else {
        text.push('{');
        for (i, field) in fields.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            text.push_str(&format!("{comma}\n{}\"{}\": ", "  ".repeat(depth + 1), field.json_name()));
            write_field(field, depth + 1, open, text);
        }
        text.push_str(&format!("\n{}}}", "  ".repeat(depth)));
    }
    open.pop();
}

fn write_field(field: &FieldDescriptor, depth: usize, open: &mut Vec<String>, text: &mut String) {
    if field.is_map() {
        if let Some(entry) = field.kind().as_message() {
            text.push_str("{\"\": ");
            write_value(&entry.map_entry_value_field().kind(), depth, open, text);
            text.push('}');
        }
    } else if field.is_list() {
        text.push('[');
        write_value(&field.kind(), depth, open, text);
        text.push(']');
    } else {
        write_value(&field.kind(), depth, open, text);
    }
}

fn write_value(kind: &Kind, depth: usize, open: &mut Vec<String>, text: &mut String) {
    match kind {
        Kind::Message(message) => write_message(message, depth, open, text),
        Kind::Enum(values) => text.push_str(&format!("\"{}\"", values.default_value().name())),
        Kind::String | Kind::Bytes => text.push_str("\"\""),
        Kind::Bool => text.push_str("false"),
        Kind::Int64 | Kind::Sint64 | Kind::Uint64 | Kind::Fixed64 | Kind::Sfixed64 => text.push_str("\"0\""),
        Kind::Double | Kind::Float => text.push('0'),
        Kind::Int32 | Kind::Sint32 | Kind::Uint32 | Kind::Fixed32 | Kind::Sfixed32 => text.push('0'),
    }
}

fn well_known(name: &str) -> Option<&'static str> {
    match name {
        "google.protobuf.Duration" => Some("\"0s\""),
        "google.protobuf.Timestamp" => Some("\"1970-01-01T00:00:00Z\""),
        "google.protobuf.FieldMask" => Some("\"\""),
        "google.protobuf.Struct" | "google.protobuf.Value" => Some("{}"),
        "google.protobuf.ListValue" => Some("[]"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn the_template_of_every_request_is_a_request() {
        let pool = json::public_pool().unwrap();
        let mut seen = 0;
        for service in pool.services() {
            for method in service.methods() {
                let text = of(&method.input());
                let read = json::read_all(&method.input(), &text, "template");
                assert!(read.is_ok_and(|all| all.len() == 1), "{}\n{text}", method.full_name());
                seen += 1;
            }
        }
        assert!(seen > 20);
    }

    #[test]
    fn one_choice_of_a_oneof_is_shown() {
        let pool = json::public_pool().unwrap();
        let text = of(&pool.get_message_by_name("shanty.v1.HttpLoadSpec").unwrap());
        assert!(text.contains("\"text\"") && !text.contains("\"raw\""), "{text}");
        assert!(text.contains("\"keepAlive\""), "{text}");
    }
}
