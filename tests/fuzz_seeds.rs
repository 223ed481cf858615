//! Writes the seeds of the fuzz targets below `fuzz/seeds/`, made from the configurations of the differential cases: one more
//! wherever a configuration has a field that no seed has yet. `cargo run -p ninon-tests --bin fuzz-seeds`.

use ninon_tests::bootstrap::{self, Places};
use ninon_tests::{case, settings};
use prost_reflect::DynamicMessage;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let cases = case::load(&settings::tests_dir().join("differential")).unwrap_or_else(|problem| panic!("{problem}"));
    let mut seeds = Seeds { folder: settings::tests_dir().join("fuzz/seeds"), known: BTreeSet::new() };
    for case in &cases {
        let text = bootstrap::render(case, &case.config, &Places::new());
        let file: Value = serde_json::from_str(&with_ports(&text)).expect("a bootstrap is JSON");
        let name = case.name.replace('/', "_");
        seeds.offer("bootstrap", &name, &file, None);
        let list = |place: &str| file.pointer(place).and_then(Value::as_array).cloned().unwrap_or_default();
        for listener in list("/static_resources/listeners") {
            seeds.offer("listener", &name, &listener, Some("envoy.config.listener.v3.Listener"));
            for table in tables(&listener) {
                seeds.offer("route", &name, table, Some("envoy.config.route.v3.RouteConfiguration"));
            }
        }
        for cluster in list("/static_resources/clusters") {
            seeds.offer("cluster", &name, &cluster, Some("envoy.config.cluster.v3.Cluster"));
            if let Some(assignment) = cluster.get("load_assignment") {
                seeds.offer("endpoint", &name, assignment, Some("envoy.config.endpoint.v3.ClusterLoadAssignment"));
            }
        }
    }
}

/// Ports are numbers; everything else that is filled in at run time is a word.
fn with_ports(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (_, after) = after.split_once("}}").expect("a place is closed");
        match (before.strip_suffix('"'), after.strip_prefix('"')) {
            (Some(before), Some(after)) => {
                out.push_str(before);
                out.push_str("8080");
                rest = after;
            }
            _ => {
                out.push_str(before);
                out.push('x');
                rest = after;
            }
        }
    }
    out + rest
}

/// All `route_config`s in a value.
fn tables(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| if name == "route_config" { vec![value] } else { tables(value) }).collect()
        }
        Value::Array(values) => values.iter().flat_map(tables).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

struct Seeds {
    folder: PathBuf,
    known: BTreeSet<String>,
}

impl Seeds {
    /// Written as JSON and, where it has a type, as protobuf, if it has a field that is new for the target.
    fn offer(&mut self, target: &str, name: &str, value: &Value, message: Option<&str>) {
        let mut fields = BTreeSet::new();
        names(value, target, &mut fields);
        if fields.is_subset(&self.known) {
            return;
        }
        self.known.append(&mut fields);
        let folder = self.folder.join(target);
        write(&folder.join(format!("{name}.json")), value.to_string().as_bytes());
        let Some(message) = message else { return };
        let pool = xds_proto::descriptor_pool().expect("the descriptors are embedded");
        let descriptor = pool.get_message_by_name(message).expect("the message is in the slice");
        if let Ok(message) = DynamicMessage::deserialize(descriptor, value) {
            write(&folder.join(format!("{name}.pb")), &prost::Message::encode_to_vec(&message));
        }
    }
}

fn names(value: &Value, target: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let text = value.as_str().filter(|_| name.contains("type")).unwrap_or_default();
            out.insert(format!("{target}: {name} {text}"));
            names(value, target, out);
        }),
        Value::Array(values) => values.iter().for_each(|value| names(value, target, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder can be made");
    fs::write(path, bytes).expect("a seed can be written");
}
