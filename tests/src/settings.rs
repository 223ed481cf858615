//! The environment variables that the suites know; read here and nowhere else.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which side of the differential suite to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Envoy, then ninon-proxy, and compare.
    Both,
    /// Envoy alone; print what it did. For authors of cases.
    EnvoyOnly,
    /// ninon-proxy alone; print what it did and check the case's own expectations.
    NinonOnly,
    /// Envoy on both sides: shows which cases are not stable.
    EnvoyTwice,
}

/// `DIFFERENTIAL_ONLY`: `envoy`, `ninon` or `envoy-twice`; both sides when unset.
pub fn mode() -> Mode {
    match variable("DIFFERENTIAL_ONLY").as_deref() {
        None | Some("") => Mode::Both,
        Some("envoy") => Mode::EnvoyOnly,
        Some("ninon") => Mode::NinonOnly,
        Some("envoy-twice") => Mode::EnvoyTwice,
        Some(other) => panic!("DIFFERENTIAL_ONLY is `{other}`; known: envoy, ninon, envoy-twice"),
    }
}

/// `DIFFERENTIAL_RECORD`: a folder for one text file per case and side with everything seen.
pub fn record_dir() -> Option<PathBuf> {
    variable("DIFFERENTIAL_RECORD").map(PathBuf::from)
}

/// `MUTANTS_SECONDS`: no further case is begun after this time; ten minutes when unset.
pub fn mutants_limit() -> Duration {
    let seconds = variable("MUTANTS_SECONDS").map(|text| text.parse().expect("MUTANTS_SECONDS is a number"));
    Duration::from_secs(seconds.unwrap_or(600))
}

/// `ENVOY_BIN`, else `target/venv/bin/envoy` as `make test` installs it.
pub fn envoy_binary() -> PathBuf {
    variable("ENVOY_BIN").map_or_else(|| repository().join("target/venv/bin/envoy"), PathBuf::from)
}

/// `NINON_TEST_PYTHON`, else the Python of `target/venv` as `make test` installs it.
pub fn python() -> PathBuf {
    variable("NINON_TEST_PYTHON").map_or_else(|| repository().join("target/venv/bin/python"), PathBuf::from)
}

/// `NINON_PROXY_BIN`, else the `ninon-proxy` that cargo built beside this test.
pub fn ninon_binary() -> PathBuf {
    if let Some(path) = variable("NINON_PROXY_BIN") {
        return PathBuf::from(path);
    }
    let this = std::env::current_exe().expect("the running test has a path");
    let folders = this.ancestors().skip(1).take(2).map(|folder| folder.join("ninon-proxy"));
    folders.into_iter().find(|path| path.exists()).unwrap_or_else(|| PathBuf::from("ninon-proxy"))
}

/// The folder `tests/` of the repository.
pub fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn repository() -> PathBuf {
    tests_dir().parent().map(Path::to_path_buf).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "this is the suites' settings.rs")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
