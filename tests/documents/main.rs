//! Fails when a document and the code that it speaks of part ways.

/// The tables of the support page, tried field by field.
mod support;

use std::fs;
use std::path::{Path, PathBuf};

const SUPPORT: &str = "../docs/xds-support.md";
const PARSERS: &str = "../proxy/src/xds";

#[test]
fn every_field_that_is_ignored_or_refused_is_in_the_support_table() {
    let page = fs::read_to_string(SUPPORT).unwrap();
    let fields = files(Path::new(PARSERS)).into_iter().flat_map(|file| {
        let code = fs::read_to_string(&file).unwrap();
        decided(&code).into_iter().map(move |field| (file.clone(), field)).collect::<Vec<_>>()
    });
    let missing: Vec<_> = fields
        .filter(|(_, field)| !page.contains(&format!("`{field}`")))
        .map(|(file, field)| format!("{}: `{field}`", file.display()))
        .collect();
    assert!(missing.is_empty(), "not in {SUPPORT}:\n{}", missing.join("\n"));
}

#[test]
fn decisions_are_found_however_they_are_broken_into_lines() {
    let code = "parser.ignored(\"a\", x, \"y\");\nparser.unsupported(\n    \"b\",\n x);\nparser.refuse_at(\"c\", \"required\")";
    assert_eq!(decided(code), ["a", "b"]);
}

/// The fields that a parser warns of or refuses as a whole.
fn decided(code: &str) -> Vec<String> {
    let mut fields = Vec::new();
    for call in ["ignored(", "unsupported("] {
        for after in code.split(call).skip(1) {
            if let Some(text) = after.trim_start().strip_prefix('"')
                && let Some((field, _)) = text.split_once('"')
            {
                fields.push(field.to_owned());
            }
        }
    }
    fields
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let parsers = entries.filter(|path| !path.to_string_lossy().contains("tests"));
    parsers.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
