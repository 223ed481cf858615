//! The differential suite: each case against Envoy and against ninon-proxy, compared. See `differential/README.md`.

use libtest_mimic::{Arguments, Failed, Trial};
use ninon_tests::case::{self, Case};
use ninon_tests::run::check;
use ninon_tests::settings;
use std::process::ExitCode;

/// Cases wait more than they work.
const AT_ONCE: usize = 4;
/// A suite with many exceptions proves little.
const MOST_DIFFERENCES: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let folder = settings::tests_dir().join("differential");
    let cases = case::load(&folder).unwrap_or_else(|problem| panic!("{problem}"));
    let (mode, record) = (settings::mode(), settings::record_dir());
    let differences: Vec<String> = cases.iter().filter(|case| case.differs.is_some()).map(|case| case.name.clone()).collect();
    let mut trials = vec![Trial::test("differences_on_purpose_are_few", move || few(&differences))];
    for case in cases {
        let record = record.clone();
        trials.push(Trial::test(case.name.clone(), move || run(&case, mode, record.as_deref())));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(case: &Case, mode: settings::Mode, record: Option<&std::path::Path>) -> Result<(), Failed> {
    check(case, mode, record).map_err(|problem| Failed::from(format!("{}\n{problem}", case.description)))
}

fn few(differences: &[String]) -> Result<(), Failed> {
    if differences.len() <= MOST_DIFFERENCES {
        return Ok(());
    }
    Err(Failed::from(format!("{} cases differ on purpose, at most {MOST_DIFFERENCES} may: {differences:?}", differences.len())))
}
