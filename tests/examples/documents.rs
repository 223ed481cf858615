//! The documents: every link within the repository leads somewhere.

use ninon_tests::settings;
use regex::Regex;
use std::fs;
use std::path::{Path, PathBuf};

fn documents() -> Vec<PathBuf> {
    let root = settings::repository();
    let mut documents = Vec::new();
    for folder in ["docs", "docs/decisions", "examples", "tests/differential", "xds-proto", "charts", "."] {
        collect(&root.join(folder), &mut documents);
    }
    for example in fs::read_dir(root.join("examples")).unwrap() {
        let example = example.unwrap().path();
        if example.is_dir() {
            collect(&example, &mut documents);
        }
    }
    assert!(documents.len() > 15, "{documents:?}");
    documents
}

fn collect(folder: &Path, documents: &mut Vec<PathBuf>) {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    documents.extend(files.filter(|file| file.extension().is_some_and(|extension| extension == "md")));
}

#[test]
fn links_within_the_repository_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(#[^)]*)?\)").unwrap();
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for found in link.captures_iter(&text).filter(|found| !found[1].contains("://")) {
            if !document.with_file_name(&found[1]).exists() {
                broken.push(format!("{}: {}", document.display(), &found[1]));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}
