//! Compiles `proto/` into Rust and into a descriptor set, without protoc.
//!
//! Two outputs in `OUT_DIR`: `modules.rs` (the tree of generated packages, included by `lib.rs`) and `descriptors.bin`
//! (the same files as a `FileDescriptorSet`, without comments, for JSON and for finding fields outside the slice).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

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

    // Deprecated fields are part of what operators' files contain: reading them is no mistake of the parser.
    for file in &mut set.file {
        file.message_type.iter_mut().for_each(allow_deprecated);
    }
    let mut config = prost_build::Config::new();
    config.bytes(["."]).enable_type_names().type_name_domain(["."], "type.googleapis.com");
    config.include_file("modules.rs").skip_debug(WITHOUT_DEBUG);
    tonic_prost_build::configure().compile_fds_with_config(set, config)?;
    Ok(())
}

/// What may hold key material, which must not reach a log by way of `{:?}`; `src/secrecy.rs` prints it without content.
const WITHOUT_DEBUG: [&str; 2] = [".envoy.config.core.v3.DataSource", ".envoy.config.core.v3.DataSource.specifier"];

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

fn allow_deprecated(message: &mut prost_types::DescriptorProto) {
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
