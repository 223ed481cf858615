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
fn a_file_that_never_ends_is_refused() {
    let fault = read(&json!({"filename": "/dev/zero"})).unwrap_err();
    assert_eq!(fault, "filename: \"/dev/zero\" is larger than 16777216 bytes");
}

#[test]
fn the_environment_is_not_read() {
    assert_eq!(read(&json!({"environment_variable": "HOME"})).unwrap_err(), "environment_variable: not supported");
    assert_eq!(read(&json!({})).unwrap_err(), "one of filename, inline_bytes, inline_string must be set");
}
