//! The environment variables that the suites know; read here and nowhere else.

use crate::control_plane::Dialect;
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

/// `DIFFERENTIAL_DIALECT`: `sotw` or `delta` for all cases over xDS; half of them in each when unset.
pub fn dialect() -> Option<Dialect> {
    match variable("DIFFERENTIAL_DIALECT").as_deref() {
        None | Some("") => None,
        Some("sotw") => Some(Dialect::Sotw),
        Some("delta") => Some(Dialect::Delta),
        Some(other) => panic!("DIFFERENTIAL_DIALECT is `{other}`; known: sotw, delta"),
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

/// `ETCD_BIN`, else `target/etcd/usr/bin/etcd` as `make test` installs it.
pub fn etcd_binary() -> PathBuf {
    variable("ETCD_BIN").map_or_else(|| repository().join("target/etcd/usr/bin/etcd"), PathBuf::from)
}

/// `MESH_SEED`: which random changes of the mesh; a random one when unset.
pub fn mesh_seed() -> Option<u64> {
    variable("MESH_SEED").and_then(|seed| seed.parse().ok())
}

/// `MESH_CHANGES`: how many; 200 when unset.
pub fn mesh_changes() -> Option<u32> {
    number("MESH_CHANGES")
}

/// `NINON_PROXY_BIN`, else the `ninon-proxy` that cargo built beside this test.
pub fn ninon_binary() -> PathBuf {
    if let Some(path) = variable("NINON_PROXY_BIN") {
        return PathBuf::from(path);
    }
    built("ninon-proxy")
}

/// `NINON_BIN`, else the `ninon` that cargo built beside this test.
pub fn control_plane_binary() -> PathBuf {
    variable("NINON_BIN").map_or_else(|| built("ninon"), PathBuf::from)
}

/// The folder of the programs that cargo built beside this test.
pub fn built_programs() -> PathBuf {
    built("ninon-proxy").parent().map(Path::to_path_buf).unwrap_or_default()
}

fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the running test has a path");
    let folders = this.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    folders.into_iter().find(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

/// `ATTACKS_LEAST_SHARE`: the share of its work in quiet that the victim must do under attack; a twentieth when unset. Half is the
/// aim for a release build on an idle machine. A debug build, with an attacker as busy as the proxy beside it, needs room.
pub fn attack_least_share() -> f64 {
    variable("ATTACKS_LEAST_SHARE").and_then(|share| share.parse().ok()).unwrap_or(0.05)
}

/// `ATTACKS_ROUNDS`: windows of quiet and of attack that one figure is made of; 2 when unset. More makes it steadier.
pub fn attack_rounds() -> u32 {
    number("ATTACKS_ROUNDS").unwrap_or(2)
}

/// `BENCH_ROUNDS`: how often each figure is measured; 5 when unset.
pub fn bench_rounds() -> u32 {
    number("BENCH_ROUNDS").unwrap_or(5)
}

/// `BENCH_SECONDS`: how long each load lasts; 3 when unset.
pub fn bench_time() -> Duration {
    Duration::from_secs(number("BENCH_SECONDS").map_or(3, u64::from))
}

/// `BENCH_SUBJECTS`: proxies by name, as in `Envoy,ninon-proxy`; all when unset.
pub fn bench_subject(name: &str) -> bool {
    variable("BENCH_SUBJECTS").is_none_or(|names| names.split(',').any(|wanted| wanted.eq_ignore_ascii_case(name)))
}

/// `BENCH_MEASURES`: parts of titles, as in `saturated,TCP`; all when unset.
pub fn bench_measure(title: &str) -> bool {
    variable("BENCH_MEASURES").is_none_or(|parts| parts.split(',').any(|part| title.contains(part)))
}

/// `SCALE_PARTS`: parts of the mesh's bench, as in `delta,growth`; all when unset.
pub fn scale_part(name: &str) -> bool {
    variable("SCALE_PARTS").is_none_or(|names| names.split(',').any(|wanted| wanted == name))
}

/// `SCALE_DIVISOR`: for a quick look, a run with so many times fewer sidecars; 1 when unset.
pub fn scale_divisor() -> u32 {
    number("SCALE_DIVISOR").filter(|divisor| *divisor > 0).unwrap_or(1)
}

/// Whether a shell would find this program.
pub fn is_on_path(program: &str) -> bool {
    let path = variable("PATH").unwrap_or_default();
    path.split(':').any(|folder| Path::new(folder).join(program).exists())
}

/// `CLIENTS_PYTHON`, else `target/clients/bin/python` as `make test` installs it: Python with gRPC and WebSocket libraries.
pub fn clients_python() -> PathBuf {
    variable("CLIENTS_PYTHON").map_or_else(|| repository().join("target/clients/bin/python"), PathBuf::from)
}

/// `GO_BIN`, else `go` on the path, else where Go installs itself.
pub fn go_binary() -> PathBuf {
    let usual = || if is_on_path("go") { "go" } else { "/usr/local/go/bin/go" };
    variable("GO_BIN").map_or_else(|| PathBuf::from(usual()), PathBuf::from)
}

/// `XDS_SEED`: the random changes of an earlier run.
pub fn xds_seed() -> Option<u64> {
    variable("XDS_SEED").map(|text| text.parse().expect("XDS_SEED is a number"))
}

/// `XDS_CHANGES`: how many random changes are made; 100 when unset.
pub fn xds_changes() -> u32 {
    number("XDS_CHANGES").unwrap_or(100)
}

/// `XDS_SOAK_SECONDS`: how long the soak lasts; 10 when unset.
pub fn xds_soak() -> std::time::Duration {
    std::time::Duration::from_secs(number("XDS_SOAK_SECONDS").unwrap_or(10).into())
}

/// `MESH_SOAK_SECONDS`: how long the mesh's soak lasts; 20 when unset.
pub fn mesh_soak() -> std::time::Duration {
    std::time::Duration::from_secs(number("MESH_SOAK_SECONDS").unwrap_or(20).into())
}

/// The folder `tests/` of the repository.
pub fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The repository.
pub fn repository() -> PathBuf {
    tests_dir().parent().map(Path::to_path_buf).unwrap_or_default()
}

fn number(name: &str) -> Option<u32> {
    variable(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is not a number")))
}

#[expect(clippy::disallowed_methods, reason = "this is the suites' settings.rs")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
