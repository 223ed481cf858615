//! The files themselves: Envoy and Ninon take each as it is.

use ninon_tests::envoy;
use ninon_tests::process::Folder;
use ninon_tests::{example, proxy, settings};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn bootstrap_files() -> Vec<PathBuf> {
    let folders = fs::read_dir(settings::repository().join("examples")).unwrap();
    let files = folders.map(|folder| folder.unwrap().path().join("envoy.yaml"));
    let files: Vec<_> = files.filter(|file| file.exists()).collect();
    assert!(files.len() >= 6, "{files:?}");
    files
}

/// The certificates that the TLS example looks for in the folder that it is started in.
fn folder_with_certificates() -> Folder {
    let folder = Folder::new();
    let certified = rcgen::generate_simple_self_signed(["shop.localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("certificate.pem"), certified.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    folder
}

fn takes(mut command: Command, folder: &Path) {
    let output = command.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn envoy_takes_each_file_unchanged() {
    let folder = folder_with_certificates();
    for file in bootstrap_files() {
        takes(envoy::validate_command(&file), folder.path());
    }
}

#[test]
fn ninon_takes_each_file_and_knows_every_field_of_it() {
    let folder = folder_with_certificates();
    for file in bootstrap_files() {
        let mut command = proxy::validate_command(&file);
        command.arg("--strict-xds");
        takes(command, folder.path());
    }
}

#[test]
fn each_example_has_a_page_that_tells_how_to_try_it() {
    for file in bootstrap_files() {
        let page = file.with_file_name("README.md");
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains("ninon-proxy run -c"), "{} does not say how to start it", page.display());
    }
}

#[test]
fn the_list_of_examples_is_complete() {
    let list = fs::read_to_string(example::folder("README.md")).unwrap();
    for file in bootstrap_files() {
        let name = file.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        assert!(list.contains(&format!("({name}/)")), "examples/README.md has no link to {name}");
    }
}
