use super::read;
use crate::settings::Command;
use crate::settings::redirect::{InboundMode, Redirect};

fn redirect(words: &[&str]) -> Result<Redirect, clap::Error> {
    let words: Vec<&str> = ["redirect"].into_iter().chain(words.iter().copied()).collect();
    match read(&words)? {
        Command::Redirect(settings) => Ok(*settings),
        Command::Run(_) | Command::Validate(_) => panic!("redirect"),
    }
}

#[test]
fn a_redirection_has_the_defaults_of_istio() {
    let settings = redirect(&[]).unwrap();
    assert_eq!((settings.outbound_port, settings.inbound_port, settings.proxy_uid, settings.proxy_gid), (15001, 15006, 1337, None));
    assert_eq!((settings.table.as_str(), settings.dns, settings.dns_port), ("ninon", false, 15053));
    let settings = redirect(&["--exclude-outbound-port", "25,3306-3310", "--exclude-outbound-cidr", "10.0.0.0/8,::1"]).unwrap();
    assert_eq!(settings.exclude_outbound_port.iter().map(ToString::to_string).collect::<Vec<_>>(), ["25", "3306-3310"]);
    assert_eq!(settings.exclude_outbound_cidr.iter().map(|cidr| cidr.length()).collect::<Vec<_>>(), [8, 128]);
}

#[test]
fn names_of_other_meshes_are_understood() {
    let linkerd =
        ["--incoming-proxy-port=1", "--outgoing-proxy-port=2", "--proxy-uid=2102", "--inbound-ports-to-ignore=4190", "--simulate"];
    let settings = redirect(&linkerd).unwrap();
    assert_eq!((settings.inbound_port, settings.outbound_port, settings.proxy_uid, settings.dry_run), (1, 2, 2102, true));
    let istio =
        ["--envoy-port=1", "--inbound-capture-port=2", "--inbound-interception-mode=TPROXY", "--redirect-dns", "--inbound-tproxy-mark=7"];
    let settings = redirect(&istio).unwrap();
    assert_eq!((settings.outbound_port, settings.inbound_port, settings.dns, settings.tproxy_mark), (1, 2, true, 7));
    assert_eq!(settings.inbound_mode, InboundMode::Tproxy);
}

#[test]
fn what_a_redirection_cannot_do_is_wrong_usage() {
    for (words, problem) in [
        (&["--outbound-port", "0"][..], "0 is not in 1..=65535"),
        (&["--outbound-port", "65536"], "65536 is not in 1..=65535"),
        (&["--proxy-uid", "-1"], "-1"),
        (&["--proxy-uid", "4294967295"], "4294967295"),
        (&["--proxy-uid", "root"], "invalid digit"),
        (&["--exclude-outbound-port", "0"], "neither a port"),
        (&["--exclude-inbound-port", "9-8"], "neither a port"),
        (&["--exclude-inbound-port", "80; flush ruleset"], "neither a port"),
        (&["--exclude-outbound-cidr", "10.0.0.0/33"], "has 32 bits only"),
        (&["--exclude-outbound-cidr", "10.1.0.0/8"], "the network is 10.0.0.0/8"),
        (&["--exclude-outbound-cidr", "fd00::1/64"], "the network is fd00::/64"),
        (&["--exclude-outbound-cidr", "10.0.0.0/+8"], "neither an address"),
        (&["--exclude-outbound-cidr", "10.0.0/8"], "neither an address"),
        (&["--exclude-outbound-cidr", "example.org"], "neither an address"),
        (&["--exclude-outbound-cidr", "10.0.0.1 }"], "neither an address"),
        (&["--table", ""], "not a name"),
        (&["--table", "a b"], "not a name"),
        (&["--table", "a\"b"], "not a name"),
        (&["--table", "x; flush ruleset"], "not a name"),
        (&["--table", "1a"], "not a name"),
        (&["--table", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "not a name"),
        (&["--tproxy-mark", "0"], "0 is not in 1..="),
        (&["--tproxy-route-table", "254"], "254 is not in 1..=252"),
        (&["--inbound-mode", "none"], "redirect, tproxy"),
        (&["--inbound-port", "15001"], "port 15001 is the proxy's for two things"),
        (&["--outbound-port", "15000"], "port 15000 is the proxy's for two things"),
        (&["--dns", "--dns-port", "15006"], "port 15006 is the proxy's for two things"),
        (&["--include-outbound-uid", "1337"], "user 1337 is the proxy"),
        (&["--dry-run", "--check"], "cannot be used with"),
        (&["--remove", "--check"], "cannot be used with"),
    ] {
        let refused = redirect(words).map(|_| ()).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{words:?}");
        let told = refused.to_string();
        assert!(told.contains(problem), "{words:?}: {told}");
    }
    assert!(redirect(&["--dns-port", "15006"]).is_ok(), "nothing is redirected there");
}

#[test]
fn help_shows_every_flag_of_a_redirection() {
    let help = read(&["redirect", "--help"]).unwrap_err().to_string();
    for variable in [
        "OUTBOUND_PORT",
        "INBOUND_PORT",
        "PROXY_UID",
        "PROXY_GID",
        "INCLUDE_OUTBOUND_UID",
        "EXCLUDE_OUTBOUND_PORT",
        "EXCLUDE_OUTBOUND_CIDR",
        "EXCLUDE_INBOUND_PORT",
        "INCLUDE_INBOUND_PORT",
        "DNS",
        "DNS_PORT",
        "INBOUND_MODE",
        "TPROXY_MARK",
        "TPROXY_ROUTE_TABLE",
        "REDIRECT_TABLE",
    ] {
        assert!(help.contains(&format!("[env: NINON_{variable}=")), "{variable}: {help}");
    }
}
