//! Rules as the JSON of `libnftables-json(5)`. Names and values are strings and numbers of the document: nothing of them is parsed as a
//! command.

use serde_json::{Value as Json, json};

use crate::config::address::Cidr;
use crate::redirect::rules::{Action, Chain, Condition, Family, Hook, Rule, Table, Transport};
use crate::settings::redirect::Ports;

const FAMILY: &str = "inet";

/// Makes the table anew, whether it is there or not, in one transaction.
pub(super) fn replacing(table: &Table) -> Json {
    let mut commands = deleting(&table.name);
    commands.push(add("table", json!({ "family": FAMILY, "name": table.name })));
    commands.extend(table.chains.iter().map(|chain| declared(&table.name, chain)));
    for chain in &table.chains {
        commands.extend(chain.rules.iter().map(|rule| written(&table.name, chain.name, rule)));
    }
    json!({ "nftables": commands })
}

/// Removes the table, whether it is there or not.
pub(super) fn removing(table: &str) -> Json {
    json!({ "nftables": deleting(table) })
}

/// Asks for the table.
pub(super) fn listing(table: &str) -> Json {
    json!({ "nftables": [{ "list": { "table": { "family": FAMILY, "name": table } } }] })
}

/// Only what is there can be deleted: it is added first.
fn deleting(table: &str) -> Vec<Json> {
    let named = json!({ "family": FAMILY, "name": table });
    vec![add("table", named.clone()), json!({ "delete": { "table": named } })]
}

fn add(kind: &str, object: Json) -> Json {
    json!({ "add": { kind: object } })
}

fn declared(table: &str, chain: &Chain) -> Json {
    let mut object = json!({ "family": FAMILY, "table": table, "name": chain.name });
    if let (Some(hook), Some(fields)) = (chain.hook, object.as_object_mut()) {
        let (kind, point, priority) = match hook {
            Hook::NewOutgoing => ("nat", "output", DESTINATION_NAT),
            Hook::NewIncoming => ("nat", "prerouting", DESTINATION_NAT),
            Hook::Incoming => ("filter", "prerouting", MANGLE),
            Hook::Outgoing => ("route", "output", MANGLE),
        };
        fields.insert("type".to_owned(), kind.into());
        fields.insert("hook".to_owned(), point.into());
        fields.insert("prio".to_owned(), priority.into());
        fields.insert("policy".to_owned(), "accept".into());
    }
    add("chain", object)
}

/// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_MANGLE` of `linux/netfilter_ipv4.h`.
const DESTINATION_NAT: i32 = -100;
const MANGLE: i32 = -150;

fn written(table: &str, chain: &str, rule: &Rule) -> Json {
    let expressions: Vec<Json> = rule.when.iter().map(condition).chain(action(&rule.then)).collect();
    add("rule", json!({ "family": FAMILY, "table": table, "chain": chain, "comment": rule.comment, "expr": expressions }))
}

fn is(left: Json, right: Json) -> Json {
    json!({ "match": { "op": "==", "left": left, "right": right } })
}

fn is_not(left: Json, right: Json) -> Json {
    json!({ "match": { "op": "!=", "left": left, "right": right } })
}

fn meta(key: &str) -> Json {
    json!({ "meta": { "key": key } })
}

fn field(protocol: &str, name: &str) -> Json {
    json!({ "payload": { "protocol": protocol, "field": name } })
}

fn condition(condition: &Condition) -> Json {
    match condition {
        Condition::User(users) => is(meta("skuid"), set(users.iter().map(|user| json!(user)))),
        Condition::NotUser(users) => is_not(meta("skuid"), set(users.iter().map(|user| json!(user)))),
        Condition::Group(group) => is(meta("skgid"), json!(group)),
        Condition::LeavesByLoopback => is(meta("oifname"), json!("lo")),
        Condition::CameByLoopback => is(meta("iifname"), json!("lo")),
        Condition::Is(transport) => is(meta("l4proto"), json!(transport_name(*transport))),
        Condition::To(transport, ports) => is(field(transport_name(*transport), "dport"), port_set(ports)),
        Condition::NotTo(transport, ports) => is_not(field(transport_name(*transport), "dport"), port_set(ports)),
        Condition::ToNetwork(family, networks) => is(field(family_name(*family), "daddr"), set(networks.iter().map(network))),
        Condition::ToLoopbackAddress(family) => is(field(family_name(*family), "daddr"), loopback(*family)),
        Condition::NotToLoopbackAddress(family) => is_not(field(family_name(*family), "daddr"), loopback(*family)),
        Condition::FromLoopbackAddress(family) => is(field(family_name(*family), "saddr"), loopback(*family)),
        Condition::ToThisMachine => is(destination_type(), json!("local")),
        Condition::NotToThisMachine => is_not(destination_type(), json!("local")),
        Condition::Marked(mark) => is(meta("mark"), json!(mark)),
        Condition::ConnectionMarked(mark) => is(json!({ "ct": { "key": "mark" } }), json!(mark)),
        Condition::Reply => is(json!({ "ct": { "key": "direction" } }), json!("reply")),
    }
}

fn action(action: &Action) -> Vec<Json> {
    let set_mark = |mark: &u32| json!({ "mangle": { "key": meta("mark"), "value": mark } });
    match action {
        Action::LetPass => vec![json!({ "accept": null })],
        Action::Chain(name) => vec![json!({ "goto": { "target": name } })],
        Action::Redirect(port) => vec![json!({ "redirect": { "port": port } })],
        // The mark comes second: where a socket that is not the proxy's has the packet already, the rule ends before it.
        Action::Tproxy { port, mark } => vec![json!({ "tproxy": { "port": port } }), set_mark(mark), json!({ "accept": null })],
        Action::KeepMark => {
            vec![json!({ "mangle": { "key": { "ct": { "key": "mark" } }, "value": meta("mark") } }), json!({ "accept": null })]
        }
        Action::Mark(mark) => vec![set_mark(mark)],
    }
}

/// One value stands for itself.
fn set(values: impl Iterator<Item = Json>) -> Json {
    let mut values: Vec<Json> = values.collect();
    match values.len() {
        1 => values.pop().unwrap_or_default(),
        _ => json!({ "set": values }),
    }
}

fn port_set(ports: &[Ports]) -> Json {
    set(ports.iter().map(|ports| match (ports.0.start(), ports.0.end()) {
        (first, last) if first == last => json!(first),
        (first, last) => json!({ "range": [first, last] }),
    }))
}

fn network(cidr: &Cidr) -> Json {
    json!({ "prefix": { "addr": cidr.network().to_string(), "len": cidr.length() } })
}

fn loopback(family: Family) -> Json {
    match family {
        Family::V4 => json!({ "prefix": { "addr": "127.0.0.0", "len": 8 } }),
        Family::V6 => json!("::1"),
    }
}

fn destination_type() -> Json {
    json!({ "fib": { "result": "type", "flags": ["daddr"] } })
}

const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}
