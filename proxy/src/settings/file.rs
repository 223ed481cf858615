//! Files of configuration: text to JSON, and a bootstrap file to `Bootstrap`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value as Json;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use crate::config::bootstrap::Bootstrap;
use crate::config::identity::Enrolment;
use crate::xds::bootstrap;
use crate::xds::invalid::{Faults, Invalid};

/// About a hundred thousand endpoints. More comes from a control plane.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;
/// Objects and lists within one another. xDS as JSON stays below 50; deeper is not configuration, and fills the stack.
const DEEPEST: usize = 64;
/// Scalars, lists and objects. A file of the largest size has fewer.
const MOST_NODES: usize = 8_000_000;

/// A good bootstrap file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub bootstrap: Bootstrap,
    /// What it says without effect.
    pub warnings: Vec<Invalid>,
}

/// Reads and checks a bootstrap file.
///
/// # Errors
/// All its faults.
pub fn load_file(path: &Path, strict: bool) -> Result<Loaded, Faults> {
    load_file_as(path, strict, None)
}

/// Likewise, for a proxy that gets an identity of its own.
///
/// # Errors
/// All its faults.
pub fn load_file_as(path: &Path, strict: bool, enrolment: Option<Enrolment>) -> Result<Loaded, Faults> {
    load_as(&read(path)?, strict, enrolment)
}

/// Reads a file of resources, YAML or JSON.
///
/// # Errors
/// What the system said, or that it is neither.
pub fn read_json(path: &Path) -> Result<Json, Faults> {
    json(&read(path)?)
}

fn read(path: &Path) -> Result<String, Faults> {
    let fault = |error: std::io::Error| Faults::one(format_args!("reading {}: {error}", path.display()));
    let mut text = String::new();
    let limit = LARGEST_FILE.saturating_add(1);
    let length = File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)).map_err(fault)?;
    if u64::try_from(length).map_or(true, |length| length > LARGEST_FILE) {
        return Err(Faults::one(format_args!("{} is larger than {LARGEST_FILE} bytes", path.display())));
    }
    Ok(text)
}

/// Checks the text of a bootstrap file, YAML or JSON.
///
/// # Errors
/// All its faults.
pub fn load(text: &str, strict: bool) -> Result<Loaded, Faults> {
    load_as(text, strict, None)
}

fn load_as(text: &str, strict: bool, enrolment: Option<Enrolment>) -> Result<Loaded, Faults> {
    let json = json(text)?;
    let (bootstrap, warnings) = bootstrap::parse(&json, strict, enrolment)?;
    Ok(Loaded { bootstrap, warnings })
}

/// JSON is read as JSON, for its exact errors; all else is YAML.
fn json(text: &str) -> Result<Json, Faults> {
    if text.trim_start().starts_with('{') {
        match serde_json::from_str(text) {
            Ok(json) => return Ok(json),
            // YAML's flow style begins so as well: `{admin: {}}`.
            Err(error) => return yaml(text).map_err(|_| Faults::one(format_args!("not JSON: {error}"))),
        }
    }
    yaml(text)
}

fn yaml(text: &str) -> Result<Json, Faults> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEEPEST, max_nodes: MOST_NODES, max_events: MOST_NODES },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Json>(text, options) {
        // An empty file is an empty object, as in Envoy.
        Ok(Json::Null) => Ok(Json::Object(serde_json::Map::new())),
        Ok(json) => Ok(json),
        Err(error) => Err(Faults::one(format_args!("not YAML: {error}"))),
    }
}
