//! What `-f` names: a file, a directory, or `-` for standard input.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::cli::{Stop, Terminal};
use crate::model::fault::Fault;
use crate::model::name::Key;
use crate::source::document::{objects, placed};
use crate::source::yaml::{self, Document};

/// The files of a command.
#[derive(Args, Clone, Debug)]
pub(super) struct Files {
    /// File or directory with objects in YAML or JSON, or `-` for standard input; may be given again
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(super) filename: Vec<PathBuf>,
    /// Go into the directories of a directory too
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
}

/// An object of a file.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The file, as it was named.
    pub(super) file: String,
    /// What it says.
    pub(super) value: Value,
    document: Document,
    /// Where it is in a list.
    prefix: String,
}

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) fault: Fault,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.fault)
    }
}

impl Written {
    /// A fault of this object, with its line.
    pub(super) fn wrong(&self, fault: Fault) -> Wrong {
        let line = self.document.line_of(&format!("{}{}", self.prefix, fault.path));
        Wrong { file: self.file.clone(), line, fault }
    }

    /// Which object it is, and the object with its namespace.
    pub(super) fn placed(&self, namespace: Option<&str>) -> Result<(Key, Value), Vec<Wrong>> {
        let default = namespace.unwrap_or(super::kinds::DEFAULT);
        let placed = placed(self.value.clone(), default);
        let (key, value) = placed.map_err(|faults| faults.into_iter().map(|fault| self.wrong(fault)).collect::<Vec<_>>())?;
        match namespace {
            Some(namespace) if key.kind.is_namespaced() && *key.name.namespace != *namespace => {
                let problem = format!("is {:?}, and --namespace is {namespace:?}", &*key.name.namespace);
                Err(vec![self.wrong(Fault::at("metadata.namespace", problem))])
            }
            _ => Ok((key, value)),
        }
    }
}

impl Files {
    /// Reads all objects, and what is no YAML.
    pub(super) fn read(&self, terminal: &mut Terminal<'_>) -> Result<(Vec<Written>, Vec<Wrong>), Stop> {
        let mut written = Vec::new();
        let mut wrong = Vec::new();
        for name in &self.filename {
            if name.as_os_str() == "-" {
                let mut text = String::new();
                terminal.input.read_to_string(&mut text).map_err(|error| Stop::Refused(format!("standard input: {error}")))?;
                documents("-", &text, &mut written, &mut wrong);
                continue;
            }
            for file in self.files_of(name)? {
                let text = std::fs::read_to_string(&file).map_err(|error| Stop::Refused(format!("{}: {error}", file.display())))?;
                documents(&file.display().to_string(), &text, &mut written, &mut wrong);
            }
        }
        Ok((written, wrong))
    }

    /// Reads all objects and places them; whatever is wrong with any of them refuses all.
    pub(super) fn placed(&self, namespace: Option<&str>, terminal: &mut Terminal<'_>) -> Result<Vec<(Written, Key, Value)>, Stop> {
        let (written, mut wrong) = self.read(terminal)?;
        let mut all = Vec::new();
        for one in written {
            match one.placed(namespace) {
                Ok((key, value)) => all.push((one, key, value)),
                Err(faults) => wrong.extend(faults),
            }
        }
        match (wrong.is_empty(), all.is_empty()) {
            (false, _) => Err(refused(&wrong)),
            (true, true) => Err(Stop::Refused("there are no objects in what -f names".to_owned())),
            (true, false) => Ok(all),
        }
    }

    fn files_of(&self, name: &Path) -> Result<Vec<PathBuf>, Stop> {
        if !name.is_dir() {
            return Ok(vec![name.to_owned()]);
        }
        let failed = |error: std::io::Error| Stop::Refused(format!("{}: {error}", name.display()));
        let mut entries = std::fs::read_dir(name).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let mut files = Vec::new();
        for path in entries.into_iter().map(|entry| entry.path()) {
            let is_meant = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
            if path.is_dir() && self.recursive {
                files.extend(self.files_of(&path)?);
            } else if is_meant && path.is_file() {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// Words for all that is wrong.
pub(super) fn refused(wrong: &[Wrong]) -> Stop {
    let lines: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    Stop::Refused(lines.join("\n"))
}

fn documents(file: &str, text: &str, written: &mut Vec<Written>, wrong: &mut Vec<Wrong>) {
    for document in yaml::documents(text) {
        match document {
            Err(fault) => wrong.push(Wrong { file: file.to_owned(), line: fault.line, fault: Fault::at("", fault.problem) }),
            Ok(document) => {
                let is_list = document.value.get("items").is_some();
                for (at, value) in objects(document.value.clone()).into_iter().enumerate() {
                    let prefix = if is_list { format!("items[{at}].") } else { String::new() };
                    written.push(Written { file: file.to_owned(), value, document: document.clone(), prefix });
                }
            }
        }
    }
}
