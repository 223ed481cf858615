//! Fails when a module imports one that it may not. The layers are tested, not just drawn.

use std::fs;
use std::path::{Path, PathBuf};

/// What a stage may import: the model, what is known of a request, bytes, and what operators see.
const STAGE: &[&str] = &["config", "exchange", "stream", "task", "telemetry"];
/// Wiring and stories may import everything.
const ALL: &[&str] = &["*"];

/// Each top-level module of `proxy`, with what it may import of its own crate. From the bottom up: a module imports only
/// modules above its own line, but for the stories and the wiring at the end.
const PROXY: &[(&str, &[&str])] = &[
    // Plain data and tools.
    ("config", &[]),
    ("own", &[]),
    ("task", &[]),
    ("stream", &["config"]),
    ("codec", &["task"]),
    ("drain", &["codec"]),
    ("exchange", &["config"]),
    ("reply", &["exchange"]),
    ("telemetry", &["config", "exchange", "task"]),
    ("xds", &["config", "task", "telemetry"]),
    ("settings", &["config", "xds"]),
    // A command of its own, that has nothing to do with serving.
    ("redirect", &["config", "settings"]),
    // What workers share of clusters, and who keeps it current.
    ("upstream", &["config", "task", "telemetry"]),
    ("resolve", &["config", "task", "upstream"]),
    // Answers what programs of the machine ask.
    ("dns", &["config", "task", "telemetry"]),
    // The stages. They share data and do not know each other: `normalize` reads what a codec noted of a target, `connect` speaks
    // through a codec to an endpoint that `balance` chose, `forward` wraps bodies for a codec.
    ("accept", STAGE),
    ("detect", STAGE),
    ("tls", STAGE),
    ("identity", &["config", "tls"]),
    ("normalize", &["codec", "config", "exchange", "stream", "task", "telemetry"]),
    ("route", STAGE),
    ("filter", STAGE),
    ("ext_authz", STAGE),
    ("balance", &["config", "exchange", "own", "stream", "task", "telemetry", "upstream"]),
    ("connect", &["codec", "config", "exchange", "stream", "task", "telemetry", "upstream"]),
    ("forward", &["codec", "config", "exchange", "stream", "task", "telemetry"]),
    ("admin", &["config", "drain", "settings", "task", "telemetry", "tls", "upstream", "xds"]),
    // What all workers share, the stories, a worker, and the wiring.
    ("runtime", &["accept", "config", "drain", "exchange", "filter", "own", "telemetry", "tls", "upstream"]),
    ("request", ALL),
    ("tunnel", ALL),
    ("connection", ALL),
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
    ("hex", &[]),
    ("places", &[]),
    ("keyfile", &["hex"]),
    ("snapshot", &["telemetry"]),
    ("translate", &["model", "snapshot"]),
    // What operators see of the proxies, which push enters and the API reads.
    ("proxies", &["model", "snapshot"]),
    ("push", &["model", "places", "proxies", "snapshot", "task", "telemetry"]),
    ("source", &["model", "task", "telemetry"]),
    ("store", &["model", "task", "telemetry"]),
    ("token", &["hex", "keyfile", "model", "store"]),
    ("authority", &["hex", "keyfile", "model", "places", "store", "task", "telemetry", "token"]),
    ("registration", &["model", "proxies", "source", "store", "task", "telemetry", "token"]),
    ("api", &["authority", "model", "proxies", "snapshot", "source", "store", "task", "telemetry", "token"]),
    ("inject", &["model", "telemetry"]),
    ("admin", &["model", "proxies", "push", "snapshot", "task", "telemetry"]),
    ("settings", &["authority", "model"]),
    // A client of the API: it reads the API's shapes and the store's words for what happened, and files as the sources do.
    ("cli", &["api", "model", "settings", "source", "store"]),
    ("drain", &["task", "telemetry"]),
    ("app", ALL),
    ("lib", ALL),
    ("main", ALL),
];

/// A name, and the only files of a crate's `src/` that may say it (a folder goes with its front file).
const NAMES: &[(&str, &str, &[&str])] = &[
    // The service that decides about requests is spoken to in messages of the same API.
    ("../proxy/src", "xds_proto", &["xds", "ext_authz"]),
    ("../control-plane/src", "xds_proto", &["translate", "snapshot", "push"]),
    ("../proxy/src", "env::var", &["settings"]),
    // `main` hands the arguments on.
    ("../proxy/src", "std::env", &["settings", "main"]),
    ("../control-plane/src", "std::env", &["settings"]),
    ("../proxy/src", "tokio::spawn", &["task"]),
    ("../control-plane/src", "tokio::spawn", &["task"]),
    ("../proxy/src", "spawn_local", &["task"]),
    ("../proxy/src", "serde_saphyr", &["xds", "settings"]),
    ("../control-plane/src", "serde_saphyr", &["source", "inject"]),
    ("../proxy/src", "ninon_control_plane", &[]),
    ("../control-plane/src", "ninon_proxy", &[]),
    // The services of the example are foreign to the mesh: they know no more of it than names.
    ("../examples/shop/src", "ninon_control_plane", &[]),
    ("../examples/shop/src", "ninon_proxy", &[]),
    ("../examples/shop/src", "xds_proto", &[]),
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
    let folders = ["../proxy/src", "../control-plane/src", "../xds-proto/src", "../examples/shop/src", "src"];
    let files = folders.iter().flat_map(|folder| rust_files(Path::new(folder)));
    let long = files.filter_map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.split("\n#[cfg(test)]\nmod ").next().unwrap().lines().count();
        (lines > 400 && !is_test(&file)).then(|| format!("{}: {lines} lines without tests, 400 at most", file.display()))
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

#[test]
fn a_forbidden_import_is_found() {
    const TABLE: &[(&str, &[&str])] = &[("config", &[]), ("route", &["config"]), ("balance", &["config"]), ("app", ALL)];
    let of = |name: &str, code: &str| of_file(name, code, TABLE);
    assert_eq!(of("route/action.rs", "use crate::config::Route;\nuse crate::route::matches;"), Vec::<String>::new());
    assert_eq!(of("route/action.rs", "use crate::{balance, config};"), ["route/action.rs: `route` may not import `balance`"]);
    assert_eq!(of("config.rs", "fn f() { crate::route::select() }"), ["config.rs: `config` may not import `route`"]);
    assert_eq!(of("app.rs", "use crate::{balance, config, route};"), Vec::<String>::new());
    assert_eq!(of("balance.rs", "use crate::news::Paper;"), ["balance.rs: `news` is missing from the table"]);
    assert_eq!(of("news.rs", ""), ["news.rs: `news` is missing from the table"]);
}

#[test]
fn a_name_in_the_wrong_place_is_found() {
    assert!(says("let home = std::env::var_os(\"HOME\");", "std::env"));
    assert!(!says("// Not std::env: see settings.", "std::env"));
}

#[test]
fn the_tables_go_from_the_bottom_up() {
    for table in [PROXY, CONTROL_PLANE] {
        for (line, (module, allowed)) in table.iter().enumerate() {
            for import in allowed.iter().filter(|import| **import != "*") {
                let above = table[..line].iter().any(|(known, _)| known == import);
                assert!(above, "`{module}` may import `{import}`, which is not above it: a cycle could hide there");
            }
        }
    }
}

/// A line of the table for something that is gone would let it come back unseen.
#[test]
fn every_module_of_the_table_is_there() {
    for (module, _) in PROXY {
        let file = Path::new("../proxy/src").join(module).with_extension("rs");
        assert!(file.is_file(), "{} is in the table and not in the crate", file.display());
    }
}

fn forbidden_imports(src: &Path, table: &[(&str, &[&str])]) -> Vec<String> {
    let files = rust_files(src).into_iter();
    let broken = files.flat_map(|file| {
        let name = file.strip_prefix(src).unwrap().display().to_string();
        of_file(&name, &fs::read_to_string(&file).unwrap(), table)
    });
    broken.collect()
}

/// What one file imports against the table; `name` is its path below `src`. Files of tests may import anything.
fn of_file(name: &str, code: &str, table: &[(&str, &[&str])]) -> Vec<String> {
    let row = |module: &str| table.iter().find(|(known, _)| *known == module);
    let module = name.split(['/', '.']).next().unwrap();
    let Some((_, allowed)) = row(module) else {
        return vec![format!("{name}: `{module}` is missing from the table")];
    };
    if is_test(Path::new(name)) {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for import in imported_modules(code) {
        if row(&import).is_none() {
            broken.push(format!("{name}: `{import}` is missing from the table"));
        } else if import != module && !allowed.contains(&"*") && !allowed.contains(&import.as_str()) {
            broken.push(format!("{name}: `{module}` may not import `{import}`"));
        }
    }
    broken
}

fn said_elsewhere(src: &Path, name: &str, places: &[&str]) -> Vec<String> {
    let files = rust_files(src).into_iter().filter(|file| !places.contains(&module_of(src, file).as_str()) && !is_test(file));
    let saying = files.filter(|file| says(&fs::read_to_string(file).unwrap(), name));
    saying.map(|file| format!("{}: says `{name}`, which is for {places:?} only", file.display())).collect()
}

fn says(code: &str, name: &str) -> bool {
    code_of(code).contains(name)
}

/// `x/tests.rs`, and what is in a folder `tests`.
fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.iter().any(|part| part == "tests")
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
