//! What is fuzzed: one function a target, which panics where a promise is broken. `../fuzz/` drives them with libFuzzer, and
//! `cargo test` replays the inputs that once broke one (`../fuzz/regressions/<target>/`).

/// Bytes of connections: what they speak, and HTTP/1.
mod bytes;
/// Configuration: a file's text, resources as protobuf and as JSON.
mod config;
/// Substitution formats.
mod format;
/// Normalisation of paths.
mod path;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("bootstrap", config::bootstrap),
    ("client_hello", bytes::client_hello),
    ("cluster", config::cluster),
    ("endpoint", config::endpoint),
    ("format_string", format::format_string),
    ("http1", bytes::http1),
    ("http_preface", bytes::http_preface),
    ("listener", config::listener),
    ("path", path::path),
    ("proxy_protocol", bytes::proxy_protocol),
    ("route", config::route),
];

/// Runs a target on an input.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("the target is in the table");
    target(data);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_was_found_stays_found() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
        let mut replayed = 0;
        for (name, target) in TARGETS {
            let Ok(inputs) = fs::read_dir(folder.join(name)) else { continue };
            for input in inputs {
                let path = input.unwrap().path();
                println!("{}", path.display());
                target(&fs::read(path).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed > 0, "no input below {}", folder.display());
    }

    #[test]
    fn every_folder_of_inputs_has_a_target() {
        for inputs in ["fuzz/regressions", "fuzz/seeds"] {
            for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(inputs)).unwrap() {
                let name = folder.unwrap().file_name().into_string().unwrap();
                assert!(TARGETS.iter().any(|(known, _)| *known == name), "{inputs}/{name}");
            }
        }
    }

    #[test]
    fn every_target_has_a_program() {
        let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
