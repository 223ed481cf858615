//! Fails when a module imports one that it may not. The layers are tested, not just drawn.

use std::fs;
use std::path::{Path, PathBuf};

/// What a stage may import.
const STAGE: &[&str] = &["config", "stream", "telemetry", "task"];
/// Wiring and stories may import everything.
const ALL: &[&str] = &["*"];

/// Each top-level module of `proxy`, with what it may import of its own crate.
const PROXY: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("stream", &[]),
    ("task", &[]),
    ("telemetry", &["config", "task"]),
    ("xds", &["config", "telemetry", "task"]),
    ("accept", STAGE),
    ("detect", STAGE),
    ("tls", STAGE),
    ("route", STAGE),
    ("filter", STAGE),
    ("balance", STAGE),
    ("connect", &["config", "stream", "telemetry", "task", "tls"]),
    ("forward", &["config", "stream", "telemetry", "task", "connect"]),
    ("error", &["accept", "detect", "tls", "route", "filter", "balance", "connect", "forward", "config"]),
    ("inbound", ALL),
    ("outbound", ALL),
    ("admin", &["config", "telemetry", "drain", "settings", "task", "xds"]),
    ("settings", &["config", "xds"]),
    ("drain", &["task", "telemetry"]),
    ("worker", ALL),
    ("app", ALL),
    ("lib", ALL),
    ("main", ALL),
];

/// The same for `control-plane`.
const CONTROL_PLANE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("telemetry", &[]),
    ("task", &[]),
    ("source", &["model", "telemetry", "task"]),
    ("translate", &["model", "snapshot"]),
    ("snapshot", &["telemetry"]),
    ("push", &["snapshot", "telemetry", "task"]),
    ("store", &["model", "telemetry", "task"]),
    ("api", &["model", "source", "store", "telemetry", "task"]),
    ("cli", &["settings", "model"]),
    ("authority", &["model", "telemetry", "task"]),
    ("inject", &["model", "telemetry"]),
    ("admin", &["model", "snapshot", "push", "telemetry", "task"]),
    ("settings", &[]),
    ("drain", &["task", "telemetry"]),
    ("app", ALL),
    ("lib", ALL),
    ("main", ALL),
];

/// A name, and the only files of a crate's `src/` that may say it (a folder goes with its front file).
const NAMES: &[(&str, &str, &[&str])] = &[
    ("../proxy/src", "xds_proto", &["xds"]),
    ("../control-plane/src", "xds_proto", &["translate", "snapshot", "push"]),
    ("../proxy/src", "std::env", &["settings"]),
    ("../control-plane/src", "std::env", &["settings"]),
    ("../proxy/src", "tokio::spawn", &["task"]),
    ("../control-plane/src", "tokio::spawn", &["task"]),
    ("../proxy/src", "spawn_local", &["task"]),
    ("../proxy/src", "serde_saphyr", &["xds", "settings"]),
    ("../control-plane/src", "serde_saphyr", &["source", "inject"]),
    ("../proxy/src", "ninon_control_plane", &[]),
    ("../control-plane/src", "ninon_proxy", &[]),
];

#[test]
fn proxy_modules_import_only_what_they_may() {
    let broken = forbidden_imports(Path::new("../proxy/src"), PROXY);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn control_plane_modules_import_only_what_they_may() {
    let broken = forbidden_imports(Path::new("../control-plane/src"), CONTROL_PLANE);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn some_names_are_said_in_few_places() {
    let broken: Vec<_> = NAMES.iter().flat_map(|(src, name, places)| said_elsewhere(Path::new(src), name, places)).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn plain_data_imports_no_runtime_and_no_wire_format() {
    let crates = ["tokio", "tonic", "prost", "kube", "hyper", "h2", "axum"];
    let of = |src: &str, module: &str| -> Vec<String> {
        let files = rust_files(Path::new(src)).into_iter().filter(|file| module_of(Path::new(src), file) == module);
        let lines = files.flat_map(|file| {
            let code = code_of(&fs::read_to_string(&file).unwrap());
            let used = crates.iter().filter(|name| code.contains(&format!("{name}::"))).map(|name| name.to_string());
            used.map(|name| format!("{}: plain data names `{name}`", file.display())).collect::<Vec<_>>()
        });
        lines.collect()
    };
    let broken = [of("../proxy/src", "config"), of("../control-plane/src", "model")].concat();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn files_keep_to_their_length() {
    let folders = ["../proxy/src", "../control-plane/src", "../xds-proto/src", "src"];
    let files = folders.iter().flat_map(|folder| rust_files(Path::new(folder)));
    let long = files.filter_map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.split("\n#[cfg(test)]\nmod ").next().unwrap().lines().count();
        (lines > 400 && !file.ends_with("tests.rs")).then(|| format!("{}: {lines} lines without tests, 400 at most", file.display()))
    });
    let long: Vec<_> = long.collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn grouped_and_nested_imports_are_seen() {
    let code = "use crate::{config, route::{Route, Match}, xds};\nlet x = crate::balance::pick();";
    assert_eq!(imported_modules(code), ["config", "route", "xds", "balance"]);
}

#[test]
fn comments_are_not_code() {
    assert_eq!(imported_modules("//! See [`crate::xds`].\nuse crate::config; // not crate::xds"), ["config"]);
}

#[test]
fn tests_beside_the_code_are_not_held_to_the_rules() {
    assert_eq!(imported_modules("use crate::config;\n#[cfg(test)]\nmod tests { use crate::xds; }"), ["config"]);
}

fn forbidden_imports(src: &Path, table: &[(&str, &[&str])]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in rust_files(src) {
        let name = file.strip_prefix(src).unwrap().display().to_string();
        let module = module_of(src, &file);
        let Some((_, allowed)) = table.iter().find(|(known, _)| *known == module) else {
            broken.push(format!("{name}: `{module}` is missing from the table"));
            continue;
        };
        if name.ends_with("/tests.rs") {
            continue;
        }
        for import in imported_modules(&fs::read_to_string(&file).unwrap()) {
            let listed = table.iter().any(|(known, _)| *known == import);
            let allowed = allowed.contains(&"*") || allowed.contains(&import.as_str());
            if listed && import != module && !allowed {
                broken.push(format!("{name}: `{module}` may not import `{import}`"));
            }
        }
    }
    broken
}

fn said_elsewhere(src: &Path, name: &str, places: &[&str]) -> Vec<String> {
    let files = rust_files(src).into_iter().filter(|file| !places.contains(&module_of(src, file).as_str()));
    let saying = files.filter(|file| code_of(&fs::read_to_string(file).unwrap()).contains(name));
    saying.map(|file| format!("{}: says `{name}`, which is for {places:?} only", file.display())).collect()
}

fn module_of(src: &Path, file: &Path) -> String {
    let name = file.strip_prefix(src).unwrap().display().to_string();
    name.split(['/', '.']).next().unwrap().to_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|ext| ext == "rs")).collect()
}

/// The text without comments, and without the tests at its end.
fn code_of(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The first segment of every `crate::` path outside comments, `use crate::{a, b}` included.
fn imported_modules(source: &str) -> Vec<String> {
    let code = code_of(source);
    let mut modules = Vec::new();
    for tail in code.split("crate::").skip(1) {
        let Some(group) = tail.strip_prefix('{') else {
            modules.push(first_segment(tail));
            continue;
        };
        let mut depth = 0;
        for part in group.split("};").next().unwrap().split_inclusive(['{', '}', ',']) {
            if depth == 0 {
                modules.push(first_segment(part));
            }
            depth += part.matches('{').count();
            depth -= part.matches('}').count();
        }
    }
    modules.retain(|module| !module.is_empty());
    modules
}

fn first_segment(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
