use std::process::{Command, Output};

use ninon_tests::process::Folder;
use ninon_tests::{ports, settings};
use serde_json::{Value, json};

use crate::world::{Plan, Service, Sidecar, bootstrap, command};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn run(bootstrap: &Value) -> Output {
    let folder = Folder::new();
    command(&folder, bootstrap).output().unwrap()
}

#[test]
fn a_port_in_use_is_told_with_its_listener() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", ports::free())).unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = run(&bootstrap(&Plan::default(), folder.path(), ports::free(), port, 1));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("listener \"ingress\" cannot listen on 127.0.0.1:{port}")), "{text}");
}

#[test]
fn an_admin_port_in_use_is_told() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", ports::free())).unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = run(&bootstrap(&Plan::default(), folder.path(), port, ports::free(), 1));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the admin page (setting `admin.address`)") && text.contains(&format!("127.0.0.1:{port}")), "{text}");
}

#[test]
fn every_fault_of_a_file_is_told_with_its_path() {
    let folder = Folder::new();
    let mut wrong = bootstrap(&Plan::default(), folder.path(), ports::free(), ports::free(), 1);
    wrong["static_resources"]["clusters"][0]["connect_timeout"] = json!("-1s");
    let manager = &mut wrong["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"] = json!("nowhere");
    let file = folder.path().join("wrong.json");
    std::fs::write(&file, wrong.to_string()).unwrap();
    let validate = Command::new(settings::ninon_binary()).args(["validate", "-c"]).arg(&file).output().unwrap();
    for output in [run(&wrong), validate] {
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("static_resources.clusters[0].connect_timeout: "), "{text}");
        let route = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0]";
        assert!(text.contains(route) && text.contains("\"nowhere\""), "{text}");
    }
}

#[test]
fn a_field_that_is_spelled_wrong_is_told_though_another_is_missing_for_it() {
    let folder = Folder::new();
    let mut wrong = bootstrap(&Plan::default(), folder.path(), ports::free(), ports::free(), 1);
    let manager = &mut wrong["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let prefix = manager.as_object_mut().unwrap().remove("stat_prefix").unwrap();
    manager["stat_prefx"] = prefix;
    let output = run(&wrong);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (fault, warning) = text.split_once("stat_prefix: required\n").unwrap_or_else(|| panic!("{text}"));
    assert!(fault.starts_with("ninon-proxy: static_resources.listeners[0]"), "{text}");
    assert!(warning.starts_with("warning: static_resources.listeners[0]"), "{text}");
    assert!(warning.contains("typed_config.stat_prefx: ignored: no such field; did you mean stat_prefix?\n"), "{text}");
}

#[test]
fn wrong_usage_is_another_exit_code() {
    let status = Command::new(settings::ninon_binary()).args(["run", "--nonsense"]).output().unwrap().status;
    assert_eq!(status.code(), Some(2));
}

#[tokio::test]
async fn the_descriptor_limit_is_raised_and_told() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, Plan::default()).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sidecar.process.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_ascii_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "soft and hard limit");
    assert!(sidecar.process.log().contains(&format!("descriptors={}", numbers[1])), "{}", sidecar.process.log());
}
