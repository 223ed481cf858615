//! Compiles `proto/` into Rust and into a descriptor set, without protoc.
//!
//! Three outputs in `OUT_DIR`: `modules.rs` (the tree of generated packages, included by `lib.rs`), `descriptors.bin`
//! (the same files as a `FileDescriptorSet`, without comments, for JSON and for naming fields outside the slice), and `shapes.rs`
//! (field numbers alone, for telling quickly that there are no such fields).

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const PROTO_ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    // For tests/upstream.rs, which asks cargo for the dependencies of this platform.
    println!("cargo:rustc-env=XDS_PROTO_TARGET={}", env::var_os("TARGET").ok_or("cargo sets TARGET")?.display());
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(proto_files(Path::new(PROTO_ROOT))?)?;
    let mut set = compiler.file_descriptor_set();

    let mut embedded = set.clone();
    for file in &mut embedded.file {
        file.source_code_info = None;
    }
    fs::write(out_dir.join("descriptors.bin"), embedded.encode_to_vec())?;

    fs::write(out_dir.join("shapes.rs"), shapes(&set))?;

    // Deprecated fields are part of what operators' files contain: reading them is no mistake of the parser.
    for file in &mut set.file {
        file.message_type.iter_mut().for_each(allow_deprecated);
    }
    let mut config = prost_build::Config::new();
    // Ordered: the same message is encoded into the same bytes every time, so that a version can be a hash of them.
    config.btree_map(["."]);
    config.bytes(["."]).enable_type_names().type_name_domain(["."], "type.googleapis.com");
    config.include_file("modules.rs").skip_debug(WITHOUT_DEBUG);
    tonic_prost_build::configure().compile_fds_with_config(set, config)?;
    Ok(())
}

/// What may hold key material, which must not reach a log by way of `{:?}`; `src/secrecy.rs` prints it without content.
const WITHOUT_DEBUG: [&str; 3] =
    [".envoy.config.core.v3.DataSource", ".envoy.config.core.v3.DataSource.specifier", ".spiffe.workload.X509SVID"];

fn proto_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Every message, by name, with its field numbers and what is inside: see `src/shape.rs`.
fn shapes(set: &FileDescriptorSet) -> String {
    let mut messages = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            collect(file.package(), message, &mut messages);
        }
    }
    let indices: BTreeMap<&str, usize> = messages.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let mut code = format!("static SHAPES: [Shape; {}] = [\n", messages.len());
    for (name, message) in &messages {
        let mut fields: Vec<(i32, String)> =
            message.field.iter().map(|field| (field.number(), inside(field, &messages, &indices))).collect();
        fields.sort();
        let fields: Vec<String> = fields.into_iter().map(|(number, inside)| format!("({number}, {inside})")).collect();
        code.push_str(&format!("    Shape {{ name: {name:?}, fields: &[{}] }},\n", fields.join(", ")));
    }
    code.push_str("];\n");
    code
}

fn collect<'a>(scope: &str, message: &'a DescriptorProto, messages: &mut BTreeMap<String, &'a DescriptorProto>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, messages);
    }
    messages.insert(name, message);
}

fn inside(field: &FieldDescriptorProto, messages: &BTreeMap<String, &DescriptorProto>, indices: &BTreeMap<&str, usize>) -> String {
    let name = field.type_name().trim_start_matches('.');
    let Some(message) = messages.get(name).filter(|_| field.r#type() == Type::Message) else { return "Inside::Nothing".to_owned() };
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        let value = message.field.iter().find(|field| field.number() == 2).map(|value| inside(value, messages, indices));
        return match value.as_deref() {
            Some("Inside::Any") => "Inside::MapOfAny".to_owned(),
            Some("Inside::Nothing") | None => "Inside::Nothing".to_owned(),
            Some(value) => value.replace("Inside::Message", "Inside::MapOf"),
        };
    }
    match (name, indices.get(name)) {
        ("google.protobuf.Any", _) => "Inside::Any".to_owned(),
        (name, Some(index)) if !name.starts_with("google.protobuf.") => format!("Inside::Message({index})"),
        _ => "Inside::Nothing".to_owned(),
    }
}

fn allow_deprecated(message: &mut DescriptorProto) {
    for field in &mut message.field {
        if let Some(options) = &mut field.options {
            options.deprecated = None;
        }
    }
    let values = message.enum_type.iter_mut().flat_map(|kind| &mut kind.value);
    for options in values.filter_map(|value| value.options.as_mut()) {
        options.deprecated = None;
    }
    message.nested_type.iter_mut().for_each(allow_deprecated);
}
