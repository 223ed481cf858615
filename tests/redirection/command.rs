use std::process::Output;

use ninon_tests::network::{Host, Network, PROXY};

use crate::world::{Plan, Sidecar, program, redirect, redirected};

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn ruleset(host: &Host) -> String {
    String::from_utf8(host.output(&["nft", "list", "ruleset"]).stdout).unwrap()
}

/// Routing of the mode `tproxy` and whatever else there is.
fn routing(host: &Host) -> String {
    let words = [
        &["ip", "-4", "rule"][..],
        &["ip", "-6", "rule"],
        &["ip", "-4", "route", "show", "table", "all"],
        &["ip", "-6", "route", "show", "table", "all"],
    ];
    words.iter().map(|words| String::from_utf8(host.output(words).stdout).unwrap()).collect()
}

#[tokio::test]
async fn a_check_says_what_is_good_and_what_is_not() {
    let network = Network::new();
    let client = network.host("client", 1);
    let missing = redirect(&client, &["--check"]);
    assert_eq!(missing.status.code(), Some(1));
    for told in [
        "FAULT: IPv4: a connection to 192.0.2.1:9 does not arrive at port 15001",
        "FAULT: IPv6: a connection to [2001:db8::1]:9",
        "FAULT: there is no table inet ninon",
    ] {
        assert!(errors(&missing).contains(told), "{}", errors(&missing));
    }
    for mode in ["redirect", "tproxy"] {
        let mode = ["--inbound-mode", mode];
        redirected(&client, &mode);
        let good = redirected(&client, &[&["--check"][..], &mode].concat());
        for told in [
            "192.0.2.1:9 arrives at port 15001",
            "[2001:db8::1]:9 arrives at port 15001",
            "arrives at port 15006",
            "connections from elsewhere go to port 15006",
        ] {
            assert!(good.contains(told), "{good}");
        }
        assert_eq!(good.lines().count(), 7, "{good}");
    }
    client.ip("rule del fwmark 1337 lookup 133");
    client.ip("-6 route del local default dev lo table 133");
    let bad = errors(&redirect(&client, &["--check", "--inbound-mode", "tproxy"]));
    assert!(bad.contains("no rule for mark 0x539 and table 133 (ip -4 rule)") && bad.contains("(ip -6 route show table 133)"), "{bad}");
    assert_eq!(bad.matches("FAULT").count(), 2, "{bad}");
    redirected(&client, &[]);
    for (words, told) in [
        (&["--outbound-port", "15011"][..], "192.0.2.1:9 does not arrive at port 15011: it did not come about (Connection refused"),
        (&["--inbound-port", "15016"], "does not come in by the proxy"),
        (&["--proxy-uid", "2000"], "what user 2000 sends is redirected to port 15001"),
        (&["--inbound-mode", "tproxy"], "no rule that brings connections from elsewhere"),
        (&["--table", "other"], "there is no table inet other"),
    ] {
        let bad = redirect(&client, &[&["--check"], words].concat());
        assert!(bad.status.code() == Some(1) && errors(&bad).contains(told), "{words:?}: {}", errors(&bad));
    }
    // Beside the proxy that gets them, and without privileges.
    let _sidecar = Sidecar::start(&client, Plan::default()).await;
    redirected(&client, &["--check"]);
    let output = client.command_as(1000, program()).args(["redirect", "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("192.0.2.1:9 arrives at port 15001") && told.contains("not checked") && told.contains("CAP_NET_ADMIN"), "{told}");
    // As an init container that has one capability.
    let mut only_net_admin = client.command("setpriv");
    only_net_admin.args(["--bounding-set=-all,+net_admin", "--inh-caps=-all"]).arg(program()).args(["redirect", "--check"]);
    let output = only_net_admin.output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("what user 1337 sends: not checked") && told.contains("connections from elsewhere go to port 15006"), "{told}");
    let output = client.command_as(PROXY, program()).args(["redirect", "--check"]).output().unwrap();
    assert!(output.status.code() == Some(1) && errors(&output).contains("run --check as another one"), "{}", errors(&output));
}

#[test]
fn a_second_run_replaces_the_first_and_nothing_is_left_when_it_is_removed() {
    let network = Network::new();
    let host = network.host("host", 1);
    assert!(
        host.output(&["nft", "add table inet other; add chain inet other input { type filter hook input priority 0; }"]).status.success()
    );
    let (rules, routes) = (ruleset(&host), routing(&host));
    assert_eq!(redirected(&host, &["--remove"]), "table inet ninon is not there\n");
    assert_eq!(ruleset(&host), rules);
    assert!(redirected(&host, &[]).starts_with("table inet ninon made: "));
    let first = ruleset(&host);
    assert!(redirected(&host, &[]).starts_with("table inet ninon replaced: "));
    assert_eq!(ruleset(&host), first);
    for _ in 0..2 {
        redirected(&host, &["--inbound-mode", "tproxy", "--proxy-uid", "7", "--dns"]);
    }
    assert_ne!(ruleset(&host), first);
    assert_eq!(routing(&host).matches("fwmark 0x539 lookup 133").count(), 2, "{}", routing(&host));
    redirected(&host, &[]);
    assert_eq!((ruleset(&host), routing(&host)), (first, routes.clone()));
    redirected(&host, &["--inbound-mode", "tproxy", "--table", "mine"]);
    redirected(&host, &["--remove"]);
    assert!(ruleset(&host).contains("table inet mine") && !ruleset(&host).contains("table inet ninon"));
    redirected(&host, &["--remove", "--table", "mine"]);
    assert_eq!((ruleset(&host), routing(&host)), (rules, routes));
}

#[test]
fn what_nft_lists_is_what_was_asked_for() {
    let network = Network::new();
    let host = network.host("host", 1);
    redirected(&host, &[]);
    let listed = ruleset(&host).replace("priority dstnat", "priority -100").replace('\t', "    ");
    assert_eq!(listed, include_str!("command/listed.txt"));
    redirected(&host, &["--remove"]);
    // A dry run is the document itself, and changes nothing.
    let printed = redirected(&host, &["--dry-run"]);
    assert_eq!(ruleset(&host), "");
    let file = ninon_tests::process::Folder::new();
    let path = file.path().join("rules.json");
    std::fs::write(&path, printed).unwrap();
    assert!(host.output(&["nft", "-j", "-f", path.to_str().unwrap()]).status.success());
    assert_eq!(ruleset(&host).replace("priority dstnat", "priority -100").replace('\t', "    "), listed);
    let unprivileged = host.command_as(1000, program()).args(["redirect", "--dry-run"]).output().unwrap();
    assert!(unprivileged.status.success());
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let network = Network::new();
    let host = network.host("host", 1);
    let of = |mut command: std::process::Command| {
        let output = command.arg("redirect").output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        errors(&output)
    };
    let told = of(host.command_as(1000, program()));
    assert!(told.starts_with("ninon-proxy: the rules may not be changed: it needs CAP_NET_ADMIN"), "{told}");
    let mut without_nft = host.command("env");
    without_nft.arg("PATH=/nowhere").arg(program());
    assert_eq!(of(without_nft), "ninon-proxy: there is no program nft here: install nftables (1.0 or newer)\n");
    // A table that somebody else made is not replaced.
    assert!(
        host.output(&["nft", "add table inet ninon; add chain inet ninon theirs; add set inet ninon some { type ipv4_addr; }"])
            .status
            .success()
    );
    let rules = ruleset(&host);
    for words in [&[][..], &["--remove"]] {
        let output = redirect(&host, words);
        assert!(output.status.code() == Some(1) && errors(&output).contains("which this command does not make"), "{}", errors(&output));
    }
    assert_eq!(ruleset(&host), rules);
    let wrong = redirect(&host, &["--table", "x; flush ruleset"]);
    assert_eq!((wrong.status.code(), ruleset(&host)), (Some(2), rules));
}
