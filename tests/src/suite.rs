//! The differential suite as a program: each case a test, with the usual filters.

use crate::case::{self, Case};
use crate::delivery::Delivery;
use crate::run::check;
use crate::settings::{self, Mode};
use crate::tally::{Ended, Tally};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Cases wait more than they work.
const AT_ONCE: usize = 4;
/// A suite with many exceptions proves little.
const MOST_DIFFERENCES: usize = 8;

/// Runs each case with its resources delivered as `delivery` says for its name.
pub fn main(delivery: fn(&str) -> Delivery) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let folder = settings::tests_dir().join("differential");
    let mut cases = case::load(&folder).unwrap_or_else(|problem| panic!("{problem}"));
    let (mode, record) = (settings::mode(), settings::record_dir());
    let differences: Vec<String> = cases.iter().filter(|case| case.differs.is_some()).map(|case| case.name.clone()).collect();
    let mut trials = vec![Trial::test("differences_on_purpose_are_few", move || few(&differences))];
    cases.retain(|case| is_wanted(&case.name, &arguments));
    let tally = Arc::new(Tally::new(cases.len()));
    for case in cases {
        let (record, tally) = (record.clone(), Arc::clone(&tally));
        trials.push(Trial::test(case.name.clone(), move || run(&case, mode, delivery(&case.name), record.as_deref(), &tally)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// As the test runner filters; it does not tell how many are left.
fn is_wanted(name: &str, arguments: &Arguments) -> bool {
    let fits = |pattern: &String| if arguments.exact { name == pattern } else { name.contains(pattern.as_str()) };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

fn run(case: &Case, mode: Mode, delivery: Delivery, record: Option<&Path>, tally: &Tally) -> Result<(), Failed> {
    let outcome = check(case, mode, delivery, record);
    let ended = match &outcome {
        Err(_) => Ended::Failed,
        Ok(()) if case.differs.is_some() && mode == Mode::Both => Ended::DifferentOnPurpose,
        Ok(()) => Ended::Equal,
    };
    if let Some(summary) = tally.count(ended) {
        println!("{summary}");
    }
    outcome.map_err(|problem| Failed::from(format!("{}\n{problem}", case.description)))
}

fn few(differences: &[String]) -> Result<(), Failed> {
    if differences.len() <= MOST_DIFFERENCES {
        return Ok(());
    }
    Err(Failed::from(format!("{} cases differ on purpose, at most {MOST_DIFFERENCES} may: {differences:?}", differences.len())))
}
