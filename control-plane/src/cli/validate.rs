//! `ninon validate`: checks files without a server.

use clap::{Args, ValueEnum};

use crate::cli::files::{Files, Wrong};
use crate::cli::kinds::DEFAULT;
use crate::cli::{Check, Ending, Stop, Terminal};

/// What `validate` is told.
#[derive(Args, Debug)]
pub struct Validate {
    #[command(flatten)]
    files: Files,
    /// How faults are told
    #[arg(short, long, value_enum, default_value_t)]
    output: Report,
}

/// How faults are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Report {
    /// A line for each
    #[default]
    Text,
    /// JUnit's XML, for pipelines
    Junit,
}

/// What was checked: an object, or text that is none.
struct Case {
    file: String,
    name: String,
    wrong: Vec<Wrong>,
}

impl Validate {
    pub(super) fn run(&self, check: &Check, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let cases = self.cases(check, terminal)?;
        let faults: usize = cases.iter().map(|case| case.wrong.len()).sum();
        match self.output {
            Report::Junit => terminal.out.write_all(junit(&cases).as_bytes())?,
            Report::Text => {
                for wrong in cases.iter().flat_map(|case| &case.wrong) {
                    writeln!(terminal.out, "{wrong}")?;
                }
                writeln!(terminal.out, "{} and {}", counted(cases.len(), "object"), counted(faults, "fault"))?;
            }
        }
        Ok(if faults == 0 { Ending::Done } else { Ending::Failed })
    }

    fn cases(&self, check: &Check, terminal: &mut Terminal<'_>) -> Result<Vec<Case>, Stop> {
        let (written, unreadable) = self.files.read(terminal)?;
        let broken = unreadable.into_iter().map(|wrong| Case { file: wrong.file.clone(), name: "YAML".to_owned(), wrong: vec![wrong] });
        let mut cases: Vec<_> = broken.collect();
        let mut seen = std::collections::BTreeMap::new();
        for one in written {
            let (name, wrong) = match one.placed(None) {
                Err(wrong) => (one.value.pointer("/metadata/name").and_then(|name| name.as_str()).unwrap_or(DEFAULT).to_owned(), wrong),
                Ok((key, value)) => {
                    let faults = check(&value).err().unwrap_or_default();
                    let mut wrong: Vec<_> = faults.into_iter().map(|fault| one.wrong(fault)).collect();
                    if let Some(first) = seen.insert(key.clone(), one.file.clone()) {
                        wrong.push(one.wrong(crate::model::fault::Fault::at("metadata.name", format!("{key} is in {first} already"))));
                    }
                    (key.to_string(), wrong)
                }
            };
            cases.push(Case { file: one.file.clone(), name, wrong });
        }
        Ok(cases)
    }
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A suite for each file, a case for each object.
fn junit(cases: &[Case]) -> String {
    let failed = |cases: &[Case]| cases.iter().filter(|case| !case.wrong.is_empty()).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut line = |text: String| {
        xml.push_str(&text);
        xml.push('\n');
    };
    line(format!("<testsuites name=\"ninon validate\" tests=\"{}\" failures=\"{}\">", cases.len(), failed(cases)));
    for suite in cases.chunk_by(|one, other| one.file == other.file) {
        let file = suite.first().map(|case| escaped(&case.file)).unwrap_or_default();
        line(format!("  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{}\">", suite.len(), failed(suite)));
        for case in suite {
            let name = escaped(&case.name);
            if case.wrong.is_empty() {
                line(format!("    <testcase classname=\"{file}\" name=\"{name}\"/>"));
                continue;
            }
            let all: Vec<_> = case.wrong.iter().map(|wrong| escaped(&wrong.to_string())).collect();
            let first = case.wrong.first().map(|wrong| escaped(&wrong.fault.to_string())).unwrap_or_default();
            line(format!("    <testcase classname=\"{file}\" name=\"{name}\">"));
            line(format!("      <failure message=\"{first}\">{}</failure>\n    </testcase>", all.join("\n")));
        }
        line("  </testsuite>".to_owned());
    }
    line("</testsuites>".to_owned());
    xml
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |xml, letter| match letter {
        '&' => xml + "&amp;",
        '<' => xml + "&lt;",
        '>' => xml + "&gt;",
        '"' => xml + "&quot;",
        // XML 1.0 has no way to write other control characters.
        letter if letter.is_control() && !matches!(letter, '\n' | '\t' | '\r') => xml + "?",
        letter => xml + letter.encode_utf8(&mut [0; 4]),
    })
}
