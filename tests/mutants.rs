//! How many mutants of their configuration the differential cases notice. Run by `make mutants`.
//!
//! Each case runs once against Envoy as it is, then against ninon-proxy with one field at a time taken out of its
//! configuration. A mutant is noticed when ninon-proxy refuses it or behaves differently from Envoy's unmutated run.

use ninon_tests::case::{self, Case};
use ninon_tests::compare::Rules;
use ninon_tests::delivery::Delivery;
use ninon_tests::mutate::mutants;
use ninon_tests::run::{Subject, run};
use ninon_tests::settings::{self, Mode};
use std::process::ExitCode;
use std::sync::Mutex;
use tokio::time::Instant;

const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let folder = settings::tests_dir().join("differential");
    let cases = case::load(&folder).unwrap_or_else(|problem| panic!("{problem}"));
    let wanted = cases.into_iter().filter(|case| case.differs.is_none() && case.name.contains(&filter));
    // Envoy's own mutants show what the cases pin, whatever the state of ninon-proxy.
    let subject = if settings::mode() == Mode::EnvoyTwice { Subject::Envoy } else { Subject::Ninon };
    let waiting = Mutex::new(spread(wanted.collect()));
    let totals = Mutex::new((0, 0));
    let end = Instant::now() + settings::mutants_limit();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = next(&waiting, end) {
                    let (noticed, all) = report(&case, subject);
                    let mut totals = totals.lock().expect("no panic while locked");
                    *totals = (totals.0 + noticed, totals.1 + all);
                }
            });
        }
    });
    let (noticed, all) = *totals.lock().expect("no panic while locked");
    let left = waiting.lock().expect("no panic while locked").len();
    println!("{noticed} of {all} mutants noticed; the time was too short for {left} cases");
    ExitCode::SUCCESS
}

/// Cases in an order that brings every topic early, so that a run cut short is a sample of all.
fn spread(cases: Vec<Case>) -> Vec<Case> {
    const STRIDE: usize = 17;
    let mut numbered: Vec<_> = cases.into_iter().enumerate().collect();
    numbered.sort_by_key(|(index, _)| (index % STRIDE, index / STRIDE));
    numbered.into_iter().map(|(_, case)| case).collect()
}

fn next(waiting: &Mutex<Vec<Case>>, end: Instant) -> Option<Case> {
    if Instant::now() >= end {
        return None;
    }
    waiting.lock().expect("no panic while locked").pop()
}

/// Runs the mutants of one case, prints the ones that slip through; noticed and all.
fn report(case: &Case, subject: Subject) -> (usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rules = Rules::from(&case.compare);
    let Ok(envoy) = runtime.block_on(run(case, &case.config, Subject::Envoy, Delivery::File)) else {
        println!("{}: Envoy does not run it", case.name);
        return (0, 0);
    };
    let wanted = envoy.render(&rules);
    let all = mutants(&case.config);
    let count = all.len();
    let mut noticed = 0;
    for (removed, config) in all {
        let seen = runtime.block_on(run(case, &config, subject, Delivery::File));
        if seen.is_ok_and(|seen| seen.render(&rules) == wanted) {
            println!("{}: does not notice that {removed} is gone", case.name);
        } else {
            noticed += 1;
        }
    }
    (noticed, count)
}
