//! The slice against the official descriptors: every message, field, enum value and service method.
//!
//! The official ones are the descriptor set that the crate `envoy-types` is generated from. It is a dev-dependency only,
//! and its file is read from where cargo keeps the crate's source. What is Istio's is not in it, and is held against a table here.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use envoy_types as _;
use prost::Message as _;
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor, Value};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

#[test]
fn the_slice_is_part_of_the_official_api() {
    let found = differences(&xds_proto::descriptor_pool().unwrap(), &official());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn redacted_fields_are_those_that_upstream_marks() {
    let official = official();
    let mark = official.get_extension_by_name("udpa.annotations.sensitive").unwrap();
    let marked = |field: &FieldDescriptor| {
        let upstream = official.get_message_by_name(field.parent_message().full_name()).unwrap();
        *upstream.get_field(field.number()).unwrap().options().get_extension(&mark) == Value::Bool(true)
    };
    let pool = xds_proto::descriptor_pool().unwrap();
    let fields: Vec<_> = ours(&pool).flat_map(|message| message.fields().collect::<Vec<_>>()).collect();
    let names =
        |fields: Vec<&FieldDescriptor>| -> BTreeSet<String> { fields.into_iter().map(|field| field.full_name().to_owned()).collect() };
    let upstream = names(fields.iter().filter(|field| marked(field)).collect());
    let redacted = names(fields.iter().filter(|field| xds_proto::json::is_sensitive(field.full_name())).collect());
    assert!(!upstream.is_empty());
    assert_eq!(redacted, upstream);
}

/// Istio's definitions are in no crate: packages, names, numbers and types by hand.
#[test]
fn what_is_istios_is_as_there() {
    let pool = xds_proto::descriptor_pool().unwrap();
    let all: Vec<_> = pool.all_messages().filter(|message| message.package_name().starts_with("istio.")).collect();
    let names: Vec<_> = all.iter().map(|message| message.full_name().to_owned()).collect();
    let table = "istio.networking.nds.v1.NameTable";
    let [info, entry] = ["NameInfo", "TableEntry"].map(|nested| format!("{table}.{nested}"));
    assert_eq!(names, [table, &info, &entry, "istio.v1.auth.IstioCertificateRequest", "istio.v1.auth.IstioCertificateResponse"]);
    let fields: Vec<_> =
        all.iter().flat_map(|message| message.fields().map(|field| format!("{} {}", field.name(), shape(&field)))).collect();
    let singular = |name: &str, kind: &str, number: u32, json: &str, presence: bool| {
        format!("{name} Optional {kind} = {number} (json {json}, oneof None, presence {presence}, packed false, group false)")
    };
    assert_eq!(
        fields,
        [
            format!("table Repeated {entry} = 1 (json table, oneof None, presence false, packed false, group false)"),
            singular("name_info", &info, 2, "nameInfo", true),
            "ips Repeated string = 1 (json ips, oneof None, presence false, packed false, group false)".to_owned(),
            singular("registry", "string", 2, "registry", false),
            singular("shortname", "string", 3, "shortname", false),
            singular("namespace", "string", 4, "namespace", false),
            singular("key", "string", 1, "key", false),
            singular("value", &info, 2, "value", true),
            singular("csr", "string", 1, "csr", false),
            singular("validity_duration", "int64", 3, "validityDuration", false),
            singular("metadata", "google.protobuf.Struct", 4, "metadata", true),
            "cert_chain Repeated string = 1 (json certChain, oneof None, presence false, packed false, group false)".to_owned(),
        ]
    );
    let methods: Vec<_> = pool
        .services()
        .filter(|service| service.package_name().starts_with("istio."))
        .flat_map(|service| {
            let describe = |method: prost_reflect::MethodDescriptor| {
                let (input, output) = (method.input().name().to_owned(), method.output().name().to_owned());
                (method.full_name().to_owned(), input, output, method.is_client_streaming(), method.is_server_streaming())
            };
            service.methods().map(describe).collect::<Vec<_>>()
        })
        .collect();
    let of = |name: &str| format!("istio.v1.auth.{name}");
    let (request, response) = ("IstioCertificateRequest".to_owned(), "IstioCertificateResponse".to_owned());
    assert_eq!(methods, [(of("IstioCertificateService.CreateCertificate"), request, response, false, false)]);
}

/// SPIFFE's definitions are in no crate either, and have no package: names, numbers and types by hand.
#[test]
fn the_workload_api_is_spiffes() {
    let pool = xds_proto::descriptor_pool().unwrap();
    let all = pool.all_messages().filter(|message| message.package_name() == "spiffe.workload" && !message.is_map_entry());
    let describe = |field: &FieldDescriptor| {
        let kinds = [(Kind::String, "string"), (Kind::Bytes, "bytes")];
        let scalar = kinds.into_iter().find(|(kind, _)| *kind == field.kind()).map(|(_, name)| name);
        let kind = scalar.unwrap_or(if field.is_map() { "map" } else { "message" });
        let many = if field.is_list() { "repeated " } else { "" };
        format!("{}.{} = {many}{kind} {}", field.parent_message().name(), field.name(), field.number())
    };
    let mut fields: Vec<_> = all.flat_map(|message| message.fields().map(|field| describe(&field)).collect::<Vec<_>>()).collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "X509SVID.bundle = bytes 4",
            "X509SVID.hint = string 5",
            "X509SVID.spiffe_id = string 1",
            "X509SVID.x509_svid = bytes 2",
            "X509SVID.x509_svid_key = bytes 3",
            "X509SVIDResponse.crl = repeated bytes 2",
            "X509SVIDResponse.federated_bundles = map 3",
            "X509SVIDResponse.svids = repeated message 1",
        ]
    );
}

/// Changes every field of the slice and expects as many differences: a comparison that overlooks a field fails here.
fn every_change_is_noticed(change: fn(&mut FieldDescriptorProto) -> bool) {
    let mut set = FileDescriptorSet::decode(xds_proto::DESCRIPTORS).unwrap();
    let mut changed = 0;
    for file in set.file.iter_mut().filter(|file| is_compared(file.package())) {
        for message in &mut file.message_type {
            changed += change_fields(message, change);
        }
    }
    assert!(changed > 2, "only {changed} fields could be changed");
    let found = differences(&DescriptorPool::from_file_descriptor_set(set).unwrap(), &official());
    assert!(found.len() >= changed, "{changed} changes, {} noticed", found.len());
}

fn change_fields(message: &mut DescriptorProto, change: fn(&mut FieldDescriptorProto) -> bool) -> usize {
    let is_map_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
    let own = message.field.iter_mut().filter(|_| !is_map_entry).filter_map(|field| change(field).then_some(()));
    let own = own.count();
    own + message.nested_type.iter_mut().map(|nested| change_fields(nested, change)).sum::<usize>()
}

#[test]
fn a_changed_number_is_noticed() {
    every_change_is_noticed(|field| {
        field.number = Some(field.number() + 10_000);
        true
    });
}

#[test]
fn a_changed_name_is_noticed() {
    every_change_is_noticed(|field| {
        field.name = Some(format!("{}_x", field.name()));
        true
    });
}

#[test]
fn a_changed_json_name_is_noticed() {
    every_change_is_noticed(|field| {
        field.json_name = Some(format!("{}X", field.json_name()));
        true
    });
}

#[test]
fn a_changed_type_is_noticed() {
    every_change_is_noticed(|field| {
        let others = [
            (Type::Uint32, Type::Sint32),
            (Type::Bool, Type::Uint32),
            (Type::String, Type::Bytes),
            (Type::Bytes, Type::String),
            (Type::Double, Type::Float),
            (Type::Uint64, Type::Fixed64),
        ];
        let Some((_, other)) = others.into_iter().find(|(from, _)| *from == field.r#type()) else {
            return false;
        };
        field.set_type(other);
        true
    });
}

#[test]
fn another_message_of_the_same_shape_is_noticed() {
    every_change_is_noticed(|field| {
        let wrapper = field.type_name() == ".google.protobuf.UInt32Value";
        if wrapper {
            field.type_name = Some(".google.protobuf.UInt64Value".to_owned());
        }
        wrapper
    });
}

#[test]
fn a_changed_label_is_noticed() {
    every_change_is_noticed(|field| {
        let free = field.label() == Label::Optional && field.oneof_index.is_none();
        if free {
            field.set_label(Label::Repeated);
        }
        free
    });
}

#[test]
fn a_field_taken_out_of_its_oneof_is_noticed() {
    every_change_is_noticed(|field| {
        // The second member only: a oneof must keep one.
        let second = field.oneof_index.is_some() && !field.proto3_optional() && field.name().starts_with("inline_");
        if second {
            field.oneof_index = None;
        }
        second
    });
}

#[test]
fn a_changed_enum_value_or_method_is_noticed() {
    let mut set = FileDescriptorSet::decode(xds_proto::DESCRIPTORS).unwrap();
    let (mut values, mut methods) = (0, 0);
    for file in set.file.iter_mut().filter(|file| is_compared(file.package())) {
        for value in file.enum_type.iter_mut().filter_map(|kind| kind.value.last_mut()) {
            value.number = Some(value.number() + 10_000);
            values += 1;
        }
        for method in file.service.iter_mut().flat_map(|service| &mut service.method) {
            method.client_streaming = Some(!method.client_streaming());
            methods += 1;
        }
    }
    let found = differences(&DescriptorPool::from_file_descriptor_set(set).unwrap(), &official());
    assert!(values > 5 && methods > 1, "{values} values, {methods} methods");
    assert!(found.len() >= values + methods, "{found:?}");
}

/// The official descriptors of everything in xDS.
fn official() -> DescriptorPool {
    let path = source_of("envoy-types").join("src/generated/types.bin");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    DescriptorPool::decode(bytes.as_slice()).unwrap()
}

/// Where cargo keeps the source of a dependency.
fn source_of(package: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--filter-platform", env!("XDS_PROTO_TARGET")])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|candidate| candidate["name"] == package).unwrap();
    PathBuf::from(found["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// Whether a package is part of xDS.
fn is_compared(package: &str) -> bool {
    package != "google.protobuf" && !package.starts_with("istio.") && !package.starts_with("spiffe.")
}

fn ours(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    pool.all_messages().filter(|message| is_compared(message.package_name()))
}

/// Every way in which the slice contradicts the official descriptors. That it lacks something is none.
fn differences(slice: &DescriptorPool, official: &DescriptorPool) -> Vec<String> {
    let mut found = Vec::new();
    for message in ours(slice) {
        match official.get_message_by_name(message.full_name()) {
            Some(upstream) => compare_message(&message, &upstream, &mut found),
            None => found.push(format!("{}: no such message upstream", message.full_name())),
        }
    }
    for kind in slice.all_enums().filter(|kind| is_compared(kind.package_name())) {
        match official.get_enum_by_name(kind.full_name()) {
            Some(upstream) => compare_enum(&kind, &upstream, &mut found),
            None => found.push(format!("{}: no such enum upstream", kind.full_name())),
        }
    }
    for service in slice.services().filter(|service| is_compared(service.package_name())) {
        match official.get_service_by_name(service.full_name()) {
            Some(upstream) => compare_service(&service, &upstream, &mut found),
            None => found.push(format!("{}: no such service upstream", service.full_name())),
        }
    }
    found
}

fn compare_message(message: &MessageDescriptor, upstream: &MessageDescriptor, found: &mut Vec<String>) {
    let syntax = (message.parent_file().syntax(), upstream.parent_file().syntax());
    if syntax.0 != syntax.1 {
        found.push(format!("{}: {syntax:?}", message.full_name()));
    }
    if message.is_map_entry() != upstream.is_map_entry() {
        found.push(format!("{}: map entry or not", message.full_name()));
    }
    for field in message.fields() {
        let expected = upstream.get_field_by_name(field.name()).map(|field| shape(&field));
        let actual = shape(&field);
        if expected.as_ref() != Some(&actual) {
            found.push(format!("{}: is {actual}, upstream {expected:?}", field.full_name()));
        }
    }
}

/// Everything about a field that is part of the API, as a text to be compared and read.
fn shape(field: &FieldDescriptor) -> String {
    let kind = field.kind();
    let message = kind.as_message().map(|message| message.full_name().to_owned());
    let named = message.or_else(|| kind.as_enum().map(|kind| kind.full_name().to_owned()));
    let kind = named.unwrap_or_else(|| format!("{kind:?}"));
    let oneof = field.containing_oneof().map(|oneof| oneof.name().to_owned());
    format!(
        "{:?} {kind} = {} (json {}, oneof {oneof:?}, presence {}, packed {}, group {})",
        field.cardinality(),
        field.number(),
        field.json_name(),
        field.supports_presence(),
        field.is_packed(),
        field.is_group(),
    )
}

/// An enum is taken whole: a value left out would be a number without a name.
fn compare_enum(kind: &EnumDescriptor, upstream: &EnumDescriptor, found: &mut Vec<String>) {
    let values = |kind: &EnumDescriptor| -> BTreeSet<(String, i32)> {
        kind.values().map(|value| (value.name().to_owned(), value.number())).collect()
    };
    for difference in values(kind).symmetric_difference(&values(upstream)) {
        found.push(format!("{}: {difference:?}", kind.full_name()));
    }
}

fn compare_service(service: &ServiceDescriptor, upstream: &ServiceDescriptor, found: &mut Vec<String>) {
    let methods = |service: &ServiceDescriptor| -> BTreeSet<String> {
        let describe = |method: prost_reflect::MethodDescriptor| {
            let (input, output) = (method.input(), method.output());
            let streaming = (method.is_client_streaming(), method.is_server_streaming());
            format!("{}({}) -> {}, streaming {streaming:?}", method.name(), input.full_name(), output.full_name())
        };
        service.methods().map(describe).collect()
    };
    let upstream = methods(upstream);
    for method in methods(service).difference(&upstream) {
        found.push(format!("{}: {method}, upstream {upstream:?}", service.full_name()));
    }
}
