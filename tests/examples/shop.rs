//! `examples/shop`: its mesh, and the demo that changes it under load.

use ninon_tests::example::folder;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings};
use regex::Regex;
use std::process::Command;
use std::time::Duration;

/// The demo takes a quarter of a minute with steps this short; this is for a crowded machine.
const DEMO_LIMIT: Duration = Duration::from_secs(150);
const LOAD_LIMIT: Duration = Duration::from_secs(30);
/// How long each step looks at the traffic.
const SECONDS: &str = "1.5";

#[test]
fn the_mesh_is_valid_with_either_route() {
    for route in ["split-90-10.yaml", "split-50-50.yaml"] {
        let mut validate = Command::new(settings::control_plane_binary());
        validate.args(["validate", "-f"]).arg(folder("shop/mesh")).arg("-f").arg(folder("shop/routes").join(route));
        let output = validate.output().expect("ninon was built");
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn the_demo_changes_the_mesh_under_load_and_no_request_fails() {
    let mut demo = Command::new("python3");
    demo.arg(folder("shop/demo.py")).args(["--seconds", SECONDS]).arg(settings::built_programs()).env_remove("KEEP");
    let mut demo = Process::start(demo, Folder::new()).expect("python3 is installed");
    let status = demo.ended(DEMO_LIMIT).await;
    let told = demo.log();
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{told}");
    let total = Regex::new(r"\n  (\d+) requests in \d+ s, 0 failed\n  answers: (\d+) x 200\n").unwrap();
    let total = total.captures(&told).unwrap_or_else(|| panic!("no such summary in\n{told}"));
    assert_eq!(total[1], total[2], "{told}");
    assert!(total[1].parse::<u32>().unwrap() > 1000, "{told}");
    assert!(told.contains("All processes are stopped"), "{told}");
}

/// A load that cannot fail would prove nothing.
#[tokio::test]
async fn a_load_on_nothing_fails_and_says_why() {
    let mut load = Command::new(settings::built_programs().join("shop"));
    load.args(["load", "--seconds", "1", "--output", "json", "--gateway", &format!("127.0.0.1:{}", ports::free())]);
    let mut load = Process::start(load, Folder::new()).expect("the shop was built");
    let status = load.ended(LOAD_LIMIT).await.expect("it ends when its time is over");
    assert_eq!(status.code(), Some(1));
    let log = load.log();
    let total: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap_or_else(|error| panic!("{error} in\n{log}"));
    assert_eq!((&total["requests"], &total["statuses"]), (&total["failed"], &serde_json::json!({})), "{total}");
    let texts: Vec<&String> = total["failures"].as_object().unwrap().keys().collect();
    assert!(matches!(texts.as_slice(), [text] if text.contains("refused")), "{total}");
}
