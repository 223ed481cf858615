use serde_json::{Value, json};
use xds_proto::envoy::config::core::v3 as wire;

use super::*;
use crate::xds::test_wire::{message, parsed};

fn listened(address: &Value) -> Result<ListenAddress, String> {
    parsed(|parser| listen(&message(address), parser)).map(|(listen, _)| listen)
}

fn socket(address: &str, port: u32) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

#[test]
fn an_ip_address_with_a_port_is_listened_on() {
    let listen = listened(&socket("127.0.0.1", 8080)).unwrap();
    assert_eq!(listen.address, Address::Ip("127.0.0.1:8080".parse().unwrap()));
    let listen = listened(&json!({"socket_address": {"address": "::", "port_value": 0, "ipv4_compat": true}})).unwrap();
    assert!(listen.ipv4_compat);
    assert_eq!(listen.address, Address::Ip("[::]:0".parse().unwrap()));
}

#[test]
fn a_name_is_no_address_to_listen_on() {
    let fault = listened(&socket("localhost", 80)).unwrap_err();
    assert_eq!(fault, "socket_address.address: \"localhost\" is not an IP address");
}

#[test]
fn a_port_is_never_cut_to_16_bits() {
    let fault = listened(&socket("0.0.0.0", 65_536 + 80)).unwrap_err();
    assert_eq!(fault, "socket_address.port_value: 65616 is not between 0 and 65535");
}

#[test]
fn a_port_must_be_given_as_a_number() {
    let fault = listened(&json!({"socket_address": {"address": "0.0.0.0"}})).unwrap_err();
    assert_eq!(fault, "socket_address.port_value: required");
    let fault = listened(&json!({"socket_address": {"address": "0.0.0.0", "named_port": "http"}})).unwrap_err();
    assert_eq!(fault, "socket_address.named_port: not supported");
}

#[test]
fn only_tcp_is_listened_on() {
    let udp = json!({"socket_address": {"address": "0.0.0.0", "port_value": 1, "protocol": "UDP"}});
    assert_eq!(listened(&udp).unwrap_err(), "socket_address.protocol: only TCP is supported");
}

#[test]
fn a_unix_socket_has_a_path_that_fits_and_a_mode() {
    let listen = listened(&json!({"pipe": {"path": "@ninon"}})).unwrap();
    assert_eq!(listen.address, Address::Unix(PathBuf::from("@ninon")));
    assert_eq!(listened(&json!({"pipe": {"path": "/x", "mode": 0o600}})).unwrap().unix_mode, 0o600);
    assert_eq!(listened(&json!({"pipe": {"path": "/x", "mode": 512}})).unwrap_err(), "pipe.mode: 512 is above 511 (octal 777)");
    let long = listened(&json!({"pipe": {"path": "x".repeat(108)}})).unwrap_err();
    assert_eq!(long, "pipe.path: 108 bytes are longer than 107");
    let abstract_mode = listened(&json!({"pipe": {"path": "@x", "mode": 1}})).unwrap_err();
    assert_eq!(abstract_mode, "pipe.mode: a socket in the abstract namespace (@) has no mode");
}

#[test]
fn an_address_must_be_of_some_kind() {
    assert_eq!(listened(&json!({})).unwrap_err(), "one of socket_address, pipe must be set");
    let internal = listened(&json!({"envoy_internal_address": {"server_listener_name": "x"}})).unwrap_err();
    assert_eq!(internal, "envoy_internal_address: not supported");
}

#[test]
fn a_peer_is_a_name_only_where_names_are_resolved() {
    let name = |names| parsed(|parser| target(&message(&socket("web.example", 80)), names, parser)).map(|(target, _)| target);
    assert_eq!(name(true).unwrap(), Target::Name { host: "web.example".to_owned(), port: 80 });
    assert_eq!(name(false).unwrap_err(), "socket_address.address: \"web.example\" is not an IP address");
}

#[test]
fn a_peer_has_a_port_above_0() {
    let fault = parsed(|parser| target(&message(&socket("10.0.0.1", 0)), false, parser)).unwrap_err();
    assert_eq!(fault, "socket_address.port_value: 0 is not between 1 and 65535");
}

#[test]
fn a_range_is_not_longer_than_its_address() {
    let range = |range: Value| parsed(|parser| cidr(&message::<wire::CidrRange>(&range), parser)).map(|(cidr, _)| cidr);
    let all = range(json!({"address_prefix": "0.0.0.0"})).unwrap();
    assert_eq!(all.length(), 0);
    let fault = range(json!({"address_prefix": "10.0.0.0", "prefix_len": 33})).unwrap_err();
    assert_eq!(fault, "prefix_len: 33 is longer than 10.0.0.0");
    assert_eq!(range(json!({"address_prefix": "ten"})).unwrap_err(), "address_prefix: \"ten\" is not an IP address");
}

#[test]
fn a_socket_option_has_numbers_of_32_bits_and_a_value() {
    let option = |option: Value| parsed(|parser| socket_option(&message(&option), parser)).map(|(option, _)| option);
    let good = option(json!({"level": 6, "name": 9, "int_value": 1, "state": "STATE_LISTENING"})).unwrap();
    assert_eq!(good.state, SocketState::Listening);
    let fault = option(json!({"level": 4_294_967_296_i64, "name": 9})).unwrap_err();
    assert_eq!(fault, "level: 4294967296 does not fit 32 bits\none of int_value, buf_value must be set");
}

#[test]
fn keep_alive_probes_are_counted_from_1() {
    let wire: wire::TcpKeepalive = message(&json!({"keepalive_probes": 0, "keepalive_time": 30}));
    let fault = parsed(|parser| Some(keepalive(&wire, parser))).unwrap_err();
    assert_eq!(fault, "keepalive_probes: 0 is not above 0");
}
