use serde_json::{Value, json};

use super::*;
use crate::xds::test_wire::{message, parsed};

fn read(source: &Value) -> Result<Bytes, String> {
    parsed(|parser| bytes(&message(source), parser)).map(|(bytes, _)| bytes)
}

#[test]
fn bytes_stand_in_place() {
    assert_eq!(read(&json!({"inline_string": "a"})).unwrap(), "a");
    assert_eq!(read(&json!({"inline_bytes": "YQ=="})).unwrap(), "a");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let fault = read(&json!({"filename": "/nowhere/x"})).unwrap_err();
    assert_eq!(fault, "filename: reading \"/nowhere/x\": No such file or directory (os error 2)");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    for path in ["/dev/zero", "/"] {
        assert_eq!(read(&json!({"filename": path})).unwrap_err(), format!("filename: {path:?} is not a file"));
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let path = std::env::temp_dir().join(format!("ninon-large-{}", std::process::id()));
    File::create(&path).unwrap().set_len(LARGEST_FILE + 1).unwrap();
    let fault = read(&json!({"filename": path})).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(fault.ends_with("is larger than 16777216 bytes"), "{fault}");
}

#[test]
fn the_environment_is_not_read() {
    assert_eq!(read(&json!({"environment_variable": "HOME"})).unwrap_err(), "environment_variable: not supported");
    assert_eq!(read(&json!({})).unwrap_err(), "one of filename, inline_bytes, inline_string must be set");
}
