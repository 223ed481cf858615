use super::*;
use crate::settings::{Arguments, Command};

fn settings(words: &[&str]) -> Redirect {
    let words = ["ninon-proxy", "redirect"].into_iter().chain(words.iter().copied());
    match Arguments::read(words.map(Into::into)).unwrap().command {
        Command::Redirect(settings) => *settings,
        Command::Run(_) | Command::Validate(_) => panic!("redirect"),
    }
}

/// What nft is given, one command a line.
fn document(words: &[&str]) -> String {
    let document = document::replacing(&plan::table(&settings(words)));
    let commands = document["nftables"].as_array().unwrap().iter().map(|command| format!("{command}\n"));
    commands.collect()
}

#[test]
fn the_rules_are_those_of_the_goldens() {
    assert_eq!(document(&[]), include_str!("tests/default.jsonl"));
    let all = [
        "--proxy-uid=2102",
        "--proxy-gid=2103",
        "--include-outbound-uid=1000,1001",
        "--exclude-outbound-port=25,3306-3310",
        "--exclude-outbound-cidr=10.0.0.0/8,10.1.0.0/16,169.254.169.254,fd00::/8",
        "--exclude-inbound-port=22",
        "--include-inbound-port=8080",
        "--dns",
        "--table=mesh",
    ];
    assert_eq!(document(&all), include_str!("tests/all.jsonl"));
    assert_eq!(document(&["--inbound-mode=TPROXY"]), include_str!("tests/tproxy.jsonl"));
}

#[test]
fn ports_and_networks_do_not_overlap() {
    let written = document(&["--exclude-inbound-port=15021,15005-15007,1,2,65535", "--exclude-outbound-cidr=::/0,fd00::/8"]);
    let expected = r#"{"set":[{"range":[1,2]},{"range":[15000,15001]},{"range":[15005,15007]},{"range":[15020,15021]},65535]}"#;
    assert!(written.contains(expected), "{written}");
    assert!(written.contains(r#"{"prefix":{"addr":"::","len":0}}"#) && !written.contains("fd00::"), "{written}");
}

#[test]
fn a_dry_run_is_one_document() {
    let printed = run(&settings(&["--dry-run"])).unwrap();
    let document: Json = serde_json::from_str(&printed).unwrap();
    assert_eq!(document["nftables"][1], serde_json::json!({ "delete": { "table": { "family": "inet", "name": "ninon" } } }));
}

#[test]
fn names_of_listed_objects() {
    let listed = serde_json::json!({ "nftables": [{ "metainfo": {} }, { "chain": { "name": "a" } }, { "set": { "name": "b" } }] });
    assert_eq!((names(&listed, "chain"), names(&listed, "set")), (vec!["a".to_owned()], vec!["b".to_owned()]));
}
