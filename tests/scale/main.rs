//! `make bench-mesh`: what `ninon serve` costs with thousands of sidecars. `make bench-ca`: its certificates alone.
//!
//! The server is a process of its own with a state directory; sidecars are simulated in this one, with a connection over loopback
//! each. Changes come by the API and are on disk before they count. See `docs/benchmarks.md`.

/// What sidecars note.
mod board;
/// What a certificate takes.
mod certificates;
/// All sidecars of a run.
mod fleet;
/// gRPC over HTTP/2, as little as it takes.
mod http2;
/// What is measured.
mod measure;
/// Objects.
mod mesh;
/// Fields of messages.
mod protobuf;
/// The control plane.
mod server;
/// One sidecar.
mod sidecar;
/// What is printed.
mod table;

use std::process::ExitCode;

use measure::{Cold, Scene, Storm};
use mesh::Mesh;
use ninon_tests::settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sidecar::Dialect;
use table::{Figure, Growth};

/// Simulated sidecars that the targets are for, and services.
const SIDECARS: u32 = 2000;
const SERVICES: u32 = 1000;
/// Single changes of which the 99th percentile is told.
const CHANGES: u32 = 50;
/// Seconds of the storm.
const STORM: u32 = 10;
/// Sidecars that stop reading.
const STUCK: u32 = 50;
/// Certificates as fast as they come.
const MANY: u32 = 2000;
/// Certificates in a second, as sidecars renew theirs.
const RENEWALS: u32 = 50;

fn main() -> ExitCode {
    let limit = getrlimit(Resource::Nofile).maximum;
    // If this is refused, connecting says so.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(run())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            println!("bench-mesh: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, String> {
    let mut figures = Vec::new();
    for part in ["delta", "sotw", "scoped", "storm", "addresses", "certificates"].into_iter().filter(|part| settings::scale_part(part)) {
        println!("{part} ...");
        figures.extend(match part {
            "delta" => delta().await?,
            "sotw" => sotw().await?,
            "scoped" => scoped().await?,
            "storm" => storm().await?,
            "addresses" => addresses().await?,
            _ => certificates().await?,
        });
    }
    let (text, good) = table::table(&figures);
    println!("\n{text}");
    if settings::scale_part("growth") {
        println!("{}", table::growth(&growth().await?));
    }
    Ok(good)
}

fn sidecars() -> u32 {
    SIDECARS / settings::scale_divisor()
}

/// Everybody sees everything.
async fn delta() -> Result<Vec<Figure>, String> {
    let (mut scene, cold) = Scene::start(Mesh::open(sidecars(), SERVICES), Dialect::Delta).await?;
    let mut figures = of_start("delta", &scene, &cold, 12.0, 400.0);
    let (p99, bytes) = scene.changes(CHANGES).await?;
    figures.push(Figure::to_reach("delta: an endpoint changes, to the last acknowledgement, p99", p99, "ms", 150.0));
    figures.push(Figure::shown("delta: the same, bytes for a sidecar", bytes, "B"));
    let stuck = scene.stuck(STUCK, CHANGES).await.map_err(|problem| format!("while some do not read: {problem}"))?;
    // Noise of a machine that does other things, and no more.
    let most = (stuck.before * 1.25).max(stuck.before + 10.0).round();
    figures.push(Figure::to_reach("delta: a change while 50 others do not read, p99", stuck.after, "ms", most));
    figures.push(Figure::to_reach("delta: memory for each that does not read", stuck.grown / f64::from(STUCK), "MiB", 1.0));
    let (bytes, seconds) = scene.reconnect().await.map_err(|problem| format!("after all came again: {problem}"))?;
    figures.push(Figure::to_reach("delta: all come again after one change, bytes for a sidecar", bytes, "B", 4096.0));
    figures.push(Figure::shown("delta: the same, until all have the change", seconds, "s"));
    figures.push(Figure::shown("delta: the most memory at any time", scene.server.peak(), "MiB"));
    scene.check()?;
    Ok(figures)
}

/// The same in the other dialect.
async fn sotw() -> Result<Vec<Figure>, String> {
    let (mut scene, cold) = Scene::start(Mesh::open(sidecars(), SERVICES), Dialect::Sotw).await?;
    let mut figures = of_start("SotW", &scene, &cold, 12.0, 400.0);
    let (p99, bytes) = scene.changes(CHANGES).await?;
    figures.push(Figure::to_reach("SotW: an endpoint changes, to the last acknowledgement, p99", p99, "ms", 2500.0));
    figures.push(Figure::shown("SotW: the same, bytes for a sidecar", bytes, "B"));
    scene.check()?;
    Ok(figures)
}

/// Everybody sees the 50 services of a namespace.
async fn scoped() -> Result<Vec<Figure>, String> {
    let (mut scene, cold) = Scene::start(Mesh::scoped(sidecars(), SERVICES), Dialect::Delta).await?;
    let mut figures = of_start("scoped", &scene, &cold, 3.0, 150.0);
    let (p99, _) = scene.changes(CHANGES).await?;
    figures.push(Figure::to_reach("scoped: an endpoint changes, to the last acknowledgement, p99", p99, "ms", 150.0));
    figures.extend(of_storm("scoped", &scene.storm(STORM).await?));
    scene.check()?;
    Ok(figures)
}

/// A storm of which everybody is told all.
async fn storm() -> Result<Vec<Figure>, String> {
    let (mut scene, _) = Scene::start(Mesh::open(sidecars(), SERVICES), Dialect::Delta).await?;
    let (cpu, bytes) = (scene.server.cpu(), scene.fleet.board.bytes.load(std::sync::atomic::Ordering::Relaxed));
    let storm = scene.storm(STORM).await?;
    let bytes = scene.fleet.board.bytes.load(std::sync::atomic::Ordering::Relaxed) - bytes;
    let mut figures = of_storm("all see all", &storm);
    figures.extend([
        Figure::shown("all see all: the same, sent", bytes as f64 / f64::from(1 << 20), "MiB"),
        Figure::shown("all see all: the same, CPU", scene.server.cpu() - cpu, "s"),
        Figure::shown("all see all: the most memory at any time", scene.server.peak(), "MiB"),
    ]);
    scene.check()?;
    Ok(figures)
}

/// Services have addresses, as Kubernetes gives them: listeners grow with the mesh.
async fn addresses() -> Result<Vec<Figure>, String> {
    let mesh = Mesh { has_addresses: true, ..Mesh::open(sidecars(), SERVICES) };
    let (mut scene, cold) = Scene::start(mesh, Dialect::Delta).await?;
    let title = |what: &str| format!("services with addresses: {what}");
    let mut figures = vec![
        Figure::shown(title("cold start"), cold.seconds, "s"),
        Figure::shown(title("memory"), scene.server.memory(), "MiB"),
        Figure::shown(title("sent to a sidecar at its start"), cold.bytes / 1024.0, "KiB"),
    ];
    let (p99, _) = scene.changes(CHANGES).await?;
    figures.push(Figure::shown(title("an endpoint changes, p99"), p99, "ms"));
    scene.check()?;
    Ok(figures)
}

/// Certificates, while endpoints change all the time.
async fn certificates() -> Result<Vec<Figure>, String> {
    let (mut scene, _) = Scene::start(Mesh::scoped(sidecars(), SERVICES), Dialect::Delta).await?;
    let joiner = certificates::Joiner::connect(&scene.server).await?;
    let (many, renewals) = (certificates::requests(MANY)?, certificates::requests(RENEWALS * STORM)?);
    let (storm, seconds) = tokio::try_join!(scene.storm(STORM), joiner.many(many))?;
    let (stormy, in_storm) = tokio::try_join!(scene.storm(STORM), joiner.paced(renewals.clone(), RENEWALS))?;
    let changes = async {
        loop {
            if let Err(problem) = scene.changes(1).await {
                return problem;
            }
        }
    };
    let calm = tokio::select! {
        calm = joiner.paced(renewals, RENEWALS) => calm?,
        problem = changes => return Err(problem),
    };
    let title = |what: &str| format!("certificates: {what}");
    let figures = vec![
        Figure::to_reach(title("2000 of them, while endpoints change 1000 times a second"), seconds, "s", 10.0),
        Figure::shown(title("the same, staleness of the endpoints, p99"), storm.p99, "ms"),
        Figure::to_reach(title("50 a second, while one endpoint after the other changes, p99"), measure::high(calm), "ms", 20.0),
        Figure::shown(title("50 a second, while endpoints change 1000 times a second, p99"), measure::high(in_storm), "ms"),
        Figure::shown(title("the same, staleness of the endpoints, p99"), stormy.p99, "ms"),
    ];
    scene.check()?;
    Ok(figures)
}

fn of_storm(name: &str, storm: &Storm) -> Vec<Figure> {
    vec![
        Figure::to_reach(format!("{name}: 1000 changes a second for 10 s, staleness p99"), storm.p99, "ms", 500.0),
        Figure::shown(format!("{name}: the same, median"), storm.median, "ms"),
        Figure::shown(format!("{name}: a call of the API meanwhile, p99"), storm.call, "ms"),
        Figure::to_reach(format!("{name}: from its end until it is quiet"), storm.quiet, "ms", 1000.0),
    ]
}

fn of_start(name: &str, scene: &Scene, cold: &Cold, seconds: f64, memory: f64) -> Vec<Figure> {
    vec![
        Figure::to_reach(format!("{name}: cold start of {} sidecars", scene.mesh.sidecars), cold.seconds, "s", seconds),
        Figure::shown(format!("{name}: the same, CPU"), cold.cpu, "s"),
        Figure::shown(format!("{name}: sent to a sidecar at its start"), cold.bytes / 1024.0, "KiB"),
        Figure::to_reach(format!("{name}: memory, all sidecars connected"), scene.server.memory(), "MiB", memory),
        Figure::shown(format!("{name}: the most memory during the start"), scene.server.peak(), "MiB"),
    ]
}

/// How everything grows with one and the other.
async fn growth() -> Result<Vec<Growth>, String> {
    let by_sidecars = [100, 300, 1000, 2000, 5000].map(|sidecars| (sidecars, SERVICES));
    let by_services = [100, 300, 2500, 5000].map(|services| (1000, services));
    let mut lines = Vec::new();
    for (sidecars, services) in by_sidecars.into_iter().chain(by_services) {
        let sidecars = sidecars / settings::scale_divisor();
        println!("{sidecars} sidecars, {services} services ...");
        let (mut scene, cold) = Scene::start(Mesh::open(sidecars, services), Dialect::Delta).await?;
        let memory = scene.server.memory();
        let before = scene.server.cpu();
        let (change, _) = scene.changes(CHANGES).await?;
        let cpu = cold.cpu + scene.server.cpu() - before;
        lines.push(Growth { sidecars, services, cold: cold.seconds, memory, change, cpu });
        scene.check()?;
    }
    Ok(lines)
}
