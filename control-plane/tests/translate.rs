//! Runs every case of `tests/golden/`: a mesh, who asks, and the resources that come out.
//!
//! `UPDATE_GOLDENS=1 cargo test -p ninon --test translate` writes what comes out now; the difference is there to be reviewed.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails so")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ninon_control_plane::model::mesh::Mesh;
use ninon_control_plane::snapshot::Snapshot;
use ninon_control_plane::snapshot::kind::Kind;
use ninon_control_plane::source::{manifest, yaml};
use ninon_control_plane::translate::view::{Form, Translator, View};
use prost::Message;
use prost_types::Any;
use serde_json::{Value, json};
use xds_proto::envoy::config::cluster::v3::Cluster;
use xds_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds_proto::envoy::config::listener::v3::Listener;
use xds_proto::envoy::config::route::v3::RouteConfiguration;
use xds_proto::istio::networking::nds::v1::NameTable;
use xds_proto::json::Secrets;
use xds_proto::{DescriptorPool, any};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

#[test]
fn every_case_comes_out_as_written() {
    let update = env::var_os("UPDATE_GOLDENS").is_some();
    let pool = xds_proto::descriptor_pool().unwrap();
    let mut different = String::new();
    for case in cases() {
        let expected_path = case.join("expected.yaml");
        let actual = actual(&case, &pool);
        if update {
            fs::write(&expected_path, &actual).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != actual {
            writeln!(different, "--- {}\n{}", case.file_name().unwrap().display(), first_difference(&expected, &actual)).unwrap();
        }
    }
    assert!(different.is_empty(), "\n{different}UPDATE_GOLDENS=1 writes what comes out now");
}

/// What would have come out if all had been there from the beginning is what comes out after every order of changes.
#[test]
fn the_order_of_changes_does_not_matter() {
    for case in cases() {
        let objects = objects(&case);
        let (view, _) = asked(&case);
        let mut translator = Translator::default();
        let mut mesh = Mesh::default();
        for (key, object) in objects.iter().rev() {
            mesh.apply(key, Some(object.clone()));
            translator.snapshot(&mesh, &view);
        }
        // Taken away and put back.
        for (key, object) in &objects {
            mesh.apply(key, None);
            translator.snapshot(&mesh, &view);
            mesh.apply(key, Some(object.clone()));
        }
        let step_by_step = translator.snapshot(&mesh, &view);
        let mut fresh = Mesh::default();
        for (key, object) in &objects {
            fresh.apply(key, Some(object.clone()));
        }
        let at_once = Translator::default().snapshot(&fresh, &view);
        for kind in Kind::ALL {
            let versions = |snapshot: &Snapshot| -> Vec<_> {
                let mut all: Vec<_> = snapshot.of(kind).flat_map(|set| set.iter()).map(|one| (one.name.clone(), one.version)).collect();
                all.sort();
                all
            };
            assert_eq!(versions(&step_by_step), versions(&at_once), "{} {kind}", case.display());
        }
    }
}

#[test]
fn there_are_forty_cases_and_no_name_is_in_two_layers() {
    assert!(cases().len() >= 40, "{}", cases().len());
    for case in cases() {
        let snapshot = snapshot(&case);
        for kind in Kind::ALL {
            let mut names: Vec<_> = snapshot.of(kind).flat_map(|set| set.iter()).map(|resource| resource.name.clone()).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{} {kind}", case.display());
        }
    }
}

fn objects(case: &Path) -> Vec<(ninon_control_plane::model::name::Key, ninon_control_plane::model::mesh::Object)> {
    let text = fs::read_to_string(case.join("mesh.yaml")).unwrap();
    let documents = yaml::documents(&text).into_iter();
    documents
        .map(|document| manifest::read(&document.unwrap().value).unwrap_or_else(|faults| panic!("{}: {faults:?}", case.display())))
        .collect()
}

fn snapshot(case: &Path) -> std::sync::Arc<Snapshot> {
    let mut mesh = Mesh::default();
    for (key, object) in objects(case) {
        mesh.apply(&key, Some(object));
    }
    Translator::default().snapshot(&mesh, &asked(case).0)
}

/// Who asks, and which resources the case is about.
fn asked(case: &Path) -> (View, Vec<String>) {
    let text = fs::read_to_string(case.join("asks.yaml")).unwrap();
    let value = yaml::documents(&text).remove(0).unwrap().value;
    let word = |field: &str| value.get(field).and_then(Value::as_str);
    let form = match word("form") {
        None | Some("sidecar") => Form::Sidecar,
        Some("identified") => Form::Identified,
        Some("negotiating") => Form::Negotiating,
        Some("grpc") => Form::Grpc,
        Some(other) => panic!("{}: {other}", case.display()),
    };
    let show = value["show"].as_array().unwrap_or_else(|| panic!("{}: show", case.display()));
    let show = show.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
    let [workload, account] = ["workload", "account"].map(|field| word(field).map(Into::into));
    let transparent = value.get("transparent").and_then(Value::as_bool).unwrap_or_default();
    (View { form, namespace: word("namespace").unwrap_or("default").into(), workload, account, transparent }, show)
}

fn actual(case: &Path, pool: &DescriptorPool) -> String {
    let snapshot = snapshot(case);
    let (_, show) = asked(case);
    let mut text = String::new();
    for kind in Kind::ALL {
        let mut resources: Vec<_> = snapshot.of(kind).flat_map(|set| set.iter()).collect();
        resources.sort_by(|one, other| one.name.cmp(&other.name));
        for resource in resources {
            let id = format!("{kind}/{}", resource.name);
            if show.contains(&kind.to_string()) || show.contains(&id) {
                let shown = json!({ &id: decoded(kind, &resource.any, pool) });
                text.push_str(&serde_saphyr::to_string(&shown).unwrap());
            }
        }
    }
    assert!(!text.is_empty(), "{}: nothing is shown", case.display());
    text
}

fn decoded(kind: Kind, bytes: &[u8], pool: &DescriptorPool) -> Value {
    let packed = Any::decode(bytes).unwrap();
    fn json<M: Message + prost::Name + Default>(packed: &Any, pool: &DescriptorPool) -> Value {
        xds_proto::json::to_json(pool, &any::unpack::<M>(packed).unwrap(), Secrets::Redacted).unwrap()
    }
    match kind {
        Kind::Cluster => json::<Cluster>(&packed, pool),
        Kind::Endpoint => json::<ClusterLoadAssignment>(&packed, pool),
        Kind::Listener => json::<Listener>(&packed, pool),
        Kind::Route => json::<RouteConfiguration>(&packed, pool),
        Kind::Secret => panic!("there are none yet"),
        Kind::Names => json::<NameTable>(&packed, pool),
    }
}

fn first_difference(expected: &str, actual: &str) -> String {
    let pairs = expected.lines().map(Some).chain(std::iter::repeat(None)).zip(actual.lines().map(Some).chain(std::iter::repeat(None)));
    for (at, (one, other)) in pairs.enumerate() {
        if one != other || one.is_none() {
            return format!("line {}: expected {one:?}, got {other:?}", at + 1);
        }
    }
    String::new()
}
