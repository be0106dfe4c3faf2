//! The conventions of the public API, held over its descriptors.
//!
//! In: `shanty_proto::PUBLIC_DESCRIPTORS`, as reflection serves them. Out: every breach at once.
//! Never: speaks to a server.

use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use std::collections::{BTreeMap, BTreeSet};

/// 64-bit integers are texts in JSON: for totals that may pass four thousand million only.
const TOTALS: [&str; 19] = [
    "scheduled",
    "sent",
    "astray",
    "completed",
    "errors",
    "dropped",
    "lost",
    "waited",
    "clamped",
    "rows",
    "rows_estimated",
    "bad_rows",
    "source_rows",
    "target_rows",
    "missing",
    "extra",
    "different",
    "repaired",
    "bytes",
];

/// Calls that change nothing.
const READS: [&str; 5] = ["Get", "List", "Watch", "Wait", "Check"];

/// Calls that ask many at once and answer what each of them says: that is no resource.
const ASKS_MANY: [&str; 1] = ["CheckConnection"];

/// Verbs of calls that change something.
const WRITES: [&str; 15] = [
    "Create", "Update", "Delete", "Run", "Start", "Cancel", "Change", "Cordon", "Uncordon", "Drain",
    "Transfer", "Retry", "Force", "Pause", "Resume",
];

fn pool() -> DescriptorPool {
    DescriptorPool::decode(shanty_proto::PUBLIC_DESCRIPTORS).expect("the descriptor set is whole")
}

/// Breaches found, told together.
#[derive(Default)]
struct Breaches(Vec<String>);

impl Breaches {
    fn unless(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.0.push(text());
        }
    }
}

/// Paths of a file's elements that have a comment.
fn commented(file: &FileDescriptorProto) -> BTreeSet<Vec<i32>> {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter(|at| !at.leading_comments().trim().is_empty() || !at.trailing_comments().trim().is_empty())
        .map(|at| at.path.clone())
        .collect()
}

fn messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let ours = |message: &MessageDescriptor| message.package_name() == "shanty.v1" && !message.is_map_entry();
    pool.all_messages().filter(ours).collect()
}

fn enums(pool: &DescriptorPool) -> Vec<EnumDescriptor> {
    pool.all_enums().filter(|found| found.package_name() == "shanty.v1").collect()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services()
        .filter(|service| service.package_name() == "shanty.v1")
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

fn is_message(field: &FieldDescriptor, name: &str) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.full_name() == name)
}

fn verb(method: &MethodDescriptor, verbs: &[&str]) -> bool {
    verbs.iter().any(|verb| method.name().starts_with(verb))
}

fn check_comments(pool: &DescriptorPool, breaches: &mut Breaches) {
    let mut by_file: BTreeMap<String, BTreeSet<Vec<i32>>> = BTreeMap::new();
    let mut ask = |file: &prost_reflect::FileDescriptor, path: &[i32], name: &str| {
        let has = by_file
            .entry(file.name().to_owned())
            .or_insert_with(|| commented(file.file_descriptor_proto()))
            .contains(path);
        breaches.unless(has, || format!("{name} has no comment; describe shows it as its manual"));
    };
    for service in pool.services().filter(|service| service.package_name() == "shanty.v1") {
        ask(&service.parent_file(), service.path(), service.full_name());
        for method in service.methods() {
            ask(&service.parent_file(), method.path(), method.full_name());
        }
    }
    for message in messages(pool) {
        ask(&message.parent_file(), message.path(), message.full_name());
        for field in message.fields() {
            ask(&message.parent_file(), field.path(), field.full_name());
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            ask(&message.parent_file(), oneof.path(), oneof.full_name());
        }
    }
    for found in enums(pool) {
        ask(&found.parent_file(), found.path(), found.full_name());
        for value in found.values() {
            ask(&found.parent_file(), value.path(), value.full_name());
        }
    }
}

fn upper_snake(camel: &str) -> String {
    let mut text = String::new();
    for (i, letter) in camel.chars().enumerate() {
        if letter.is_ascii_uppercase() && i > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

fn check_enums(pool: &DescriptorPool, breaches: &mut Breaches) {
    let mut by_scope: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for found in enums(pool) {
        let prefix = upper_snake(found.name());
        let zero = found.get_value(0).map(|value| value.name().to_owned());
        breaches.unless(zero.as_deref() == Some(&format!("{prefix}_UNSPECIFIED")), || {
            format!("{}: value 0 is {zero:?}, shall be {prefix}_UNSPECIFIED", found.full_name())
        });
        let scope =
            found.parent_message().map_or("shanty.v1".to_owned(), |parent| parent.full_name().to_owned());
        let taken = by_scope.entry(scope).or_default();
        for value in found.values().filter(|value| value.number() != 0) {
            let name = value.name().to_owned();
            breaches.unless(!name.starts_with(&format!("{prefix}_")), || {
                format!("{}: {name} repeats the enum's name; people type it", found.full_name())
            });
            if let Some(other) = taken.insert(name.clone(), found.full_name().to_owned()) {
                breaches.0.push(format!("{name} is in {other} and in {}", found.full_name()));
            }
        }
    }
}

fn check_methods(pool: &DescriptorPool, breaches: &mut Breaches) {
    let mut requests: BTreeMap<String, String> = BTreeMap::new();
    for method in methods(pool) {
        let name = method.full_name().to_owned();
        let (input, output) = (method.input(), method.output());
        breaches.unless(method.parent_service().name().ends_with("Service"), || {
            format!("{name}: the service's name does not end with Service")
        });
        breaches.unless(!method.is_client_streaming(), || {
            format!("{name} streams from the client; hard to type, keep it internal")
        });
        breaches.unless(input.name() == format!("{}Request", method.name()), || {
            format!("{name} takes {}, shall take {}Request", input.name(), method.name())
        });
        if let Some(other) = requests.insert(input.full_name().to_owned(), name.clone()) {
            breaches.0.push(format!("{name} shares its request with {other}"));
        }
        breaches.unless(verb(&method, &READS) != verb(&method, &WRITES), || {
            format!("{name}: say in this test whether its verb reads or writes")
        });
        if verb(&method, &WRITES) {
            let has = input.get_field_by_name("request_id").is_some_and(|field| field.kind() == Kind::String);
            breaches.unless(has, || format!("{name} changes something and has no request_id"));
        }
        if method.name().starts_with("List") {
            let kind = |message: &MessageDescriptor, field: &str| {
                message.get_field_by_name(field).map(|field| field.kind())
            };
            let pages = kind(&input, "page_size") == Some(Kind::Uint32)
                && kind(&input, "page_token") == Some(Kind::String)
                && kind(&output, "next_page_token") == Some(Kind::String);
            breaches.unless(pages, || format!("{name} has no page_size, page_token and next_page_token"));
            let lists = output.fields().filter(FieldDescriptor::is_list).count();
            breaches.unless(lists == 1 && output.name() == format!("{}Response", method.name()), || {
                format!("{name} shall answer {}Response with one list", method.name())
            });
        } else if !method.is_server_streaming() && !ASKS_MANY.contains(&method.name()) {
            breaches.unless(!output.name().ends_with("Response"), || {
                format!("{name} wraps its answer; answer the resource")
            });
        }
    }
}

fn check_fields(pool: &DescriptorPool, breaches: &mut Breaches) {
    for message in messages(pool) {
        let proto = message.descriptor_proto();
        let reserved: BTreeSet<i32> =
            proto.reserved_range.iter().flat_map(|range| range.start()..range.end()).collect();
        let used: BTreeSet<i32> = proto.field.iter().map(|field| field.number()).collect();
        for number in 1..=used.last().copied().unwrap_or(0) {
            breaches.unless(used.contains(&number) || reserved.contains(&number), || {
                format!("{}: number {number} is neither used nor reserved", message.full_name())
            });
        }
        for number in used.intersection(&reserved) {
            breaches.0.push(format!("{}: number {number} is reserved and used", message.full_name()));
        }
        for field in message.fields() {
            let name = field.full_name().to_owned();
            breaches.unless(!proto.reserved_name.iter().any(|reserved| reserved == field.name()), || {
                format!("{name} is a reserved name")
            });
            breaches.unless(
                field.name().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                || format!("{name} is not in snake_case"),
            );
            let wide = matches!(
                field.kind(),
                Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64
            );
            let total = TOTALS.contains(&field.name())
                || field.name() == "count"
                || field.name().ends_with("_bytes")
                || field.name().starts_with("bytes_");
            breaches.unless(!wide || total, || {
                format!("{name} is a 64-bit integer, which JSON shows as text; use uint32")
            });
            breaches.unless(field.kind() != Kind::Float, || format!("{name} is a float; use double"));
            breaches
                .unless(!name.ends_with("_time") || is_message(&field, "google.protobuf.Timestamp"), || {
                    format!("{name} ends with _time and is no Timestamp")
                });
            breaches.unless(!field.name().ends_with("_ms") || field.kind() == Kind::Double, || {
                format!("{name} ends with _ms and is no double")
            });
            for unpleasant in ["google.protobuf.Any", "google.protobuf.FieldMask"] {
                breaches.unless(!is_message(&field, unpleasant), || {
                    format!("{name} is a {unpleasant}, which nobody can type")
                });
            }
        }
    }
}

fn breaches_of(pool: &DescriptorPool) -> Vec<String> {
    let mut breaches = Breaches::default();
    check_comments(pool, &mut breaches);
    check_enums(pool, &mut breaches);
    check_methods(pool, &mut breaches);
    check_fields(pool, &mut breaches);
    breaches.0
}

#[test]
fn the_public_api_keeps_the_conventions() {
    let breaches = breaches_of(&pool());
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn the_descriptors_are_public_only() {
    let pool = pool();
    assert!(pool.services().len() >= 4, "services are missing");
    let internal: Vec<String> = pool.files().map(|file| file.name().to_owned()).collect();
    assert!(!internal.iter().any(|name| name.contains("internal")), "{internal:?}");
}

#[test]
fn a_breach_is_found() {
    use prost_reflect::prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
        FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto, field_descriptor_proto as field,
    };
    let message = |name: &str, fields: Vec<FieldDescriptorProto>| DescriptorProto {
        name: Some(name.into()),
        field: fields,
        ..Default::default()
    };
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(".shanty.v1.Order".into()),
        output_type: Some(".shanty.v1.Order".into()),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("bad.proto".into()),
        package: Some("shanty.v1".into()),
        syntax: Some("proto3".into()),
        message_type: vec![message(
            "Order",
            vec![FieldDescriptorProto {
                name: Some("weight".into()),
                number: Some(2),
                r#type: Some(field::Type::Int64.into()),
                label: Some(field::Label::Optional.into()),
                ..Default::default()
            }],
        )],
        enum_type: vec![EnumDescriptorProto {
            name: Some("Colour".into()),
            value: vec![
                EnumValueDescriptorProto {
                    name: Some("COLOUR_NONE".into()),
                    number: Some(0),
                    ..Default::default()
                },
                EnumValueDescriptorProto {
                    name: Some("COLOUR_RED".into()),
                    number: Some(1),
                    ..Default::default()
                },
            ],
            ..Default::default()
        }],
        service: vec![ServiceDescriptorProto {
            name: Some("Shop".into()),
            method: vec![method("ListOrders"), method("CreateOrder")],
            ..Default::default()
        }],
        ..Default::default()
    };
    let pool =
        DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![file] }).expect("sound");
    let found = breaches_of(&pool).join("\n");
    for part in [
        "Order has no comment",
        "ListOrders has no comment",
        "weight has no comment",
        "COLOUR_RED has no comment",
        "shall be COLOUR_UNSPECIFIED",
        "COLOUR_RED repeats",
        "shall take ListOrdersRequest",
        "shares its request",
        "CreateOrder changes something and has no request_id",
        "ListOrders has no page_size",
        "number 1 is neither used nor reserved",
        "weight is a 64-bit integer",
        "does not end with Service",
    ] {
        assert!(found.contains(part), "not found: {part}\nin:\n{found}");
    }
}
