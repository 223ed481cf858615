//! `--check`: connections of this process, and where they arrived.
//!
//! What is dialled are addresses for documents (RFC 5737, RFC 3849), where nobody is: a connection that comes about was redirected, and the
//! kernel's list of sockets says to which port.

/// A connection, and where it arrived.
mod probe;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use serde_json::Value as Json;

use crate::redirect::{RedirectError, nft, routes};
use crate::settings::redirect::{InboundMode, Ports, Redirect};

use probe::{Arrival, arrival};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// One of these is not excluded, as a rule.
const PORTS: [u16; 5] = [9, 80, 443, 8080, 65000];
/// A redirected connection stays on this machine.
const EXPECTED: Duration = Duration::from_secs(3);
/// One that is not redirected goes to where nobody answers.
const UNEXPECTED: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Default)]
struct Findings {
    lines: String,
    faults: usize,
    /// Connections that were redirected.
    seen: usize,
}

impl Findings {
    fn good(&mut self, line: &str) {
        let _written = writeln!(self.lines, "{line}");
    }

    fn fault(&mut self, line: &str) {
        let _written = writeln!(self.lines, "FAULT: {line}");
        self.faults = self.faults.saturating_add(1);
    }
}

/// Verifies the redirection.
pub(super) fn run(settings: &Redirect) -> Result<String, RedirectError> {
    let user = user(settings)?;
    let mut findings = Findings::default();
    let proxy_runs = [V4, V6].map(|to| taken(loopback(to), settings.outbound_port)).contains(&true);
    for to in [V4, V6] {
        family(settings, user, to, proxy_runs, &mut findings);
    }
    if findings.seen == 0 && findings.faults == 0 {
        findings.fault("no connection could be tried: this machine has no route to anywhere else");
    }
    table(settings, &mut findings);
    if settings.inbound_mode == InboundMode::Tproxy {
        routing(settings, &mut findings);
    }
    let Findings { lines, faults, .. } = findings;
    match faults {
        0 => Ok(lines),
        _ => Err(RedirectError(format!("the redirection is not as it should be\n{}", lines.trim_end()))),
    }
}

/// As whom to connect, where this process's own user is not redirected.
fn user(settings: &Redirect) -> Result<Option<u32>, RedirectError> {
    let own = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let wanted = settings.include_outbound_uid.first().copied().filter(|_| !settings.include_outbound_uid.contains(&own));
    if own == 0 && settings.proxy_gid != Some(group) && (wanted.is_some() || settings.proxy_uid != 0) {
        return Ok(wanted);
    }
    if wanted.is_some() || own == settings.proxy_uid || settings.proxy_gid == Some(group) {
        let problem = "what this user sends is not redirected: run --check as another one, or as root";
        return Err(RedirectError(format!("{problem} (user {own}, group {group})")));
    }
    Ok(None)
}

fn family(settings: &Redirect, user: Option<u32>, to: IpAddr, proxy_runs: bool, findings: &mut Findings) {
    let name = if to.is_ipv4() { "IPv4" } else { "IPv6" };
    let Some(own) = own_address(to) else {
        return findings.good(&format!("{name}: not checked, this machine has no route for it"));
    };
    if settings.exclude_outbound_cidr.iter().any(|cidr| cidr.contains(to)) {
        return findings.good(&format!("{name}: not checked, {to} is excluded"));
    }
    let Some(port) = PORTS.into_iter().find(|port| !holds(&settings.exclude_outbound_port, *port)) else {
        return findings.good(&format!("{name}: not checked, the ports {PORTS:?} are excluded"));
    };
    let destination = SocketAddr::new(to, port);
    // Until the proxy is there, this process stands in for it.
    let stands_in = TcpListener::bind((loopback(to), settings.outbound_port));
    if proxy_runs && stands_in.is_ok() {
        let address = SocketAddr::new(loopback(to), settings.outbound_port);
        findings.fault(&format!("{name}: nobody listens at {address}, connections that are redirected there are refused"));
    }
    match arrival(destination, user, EXPECTED) {
        Ok(Arrival::At(port)) if port == settings.outbound_port => {
            findings.seen = findings.seen.saturating_add(1);
            findings.good(&format!("{name}: a connection to {destination} arrives at port {port}"));
        }
        Ok(other) => {
            findings.fault(&format!("{name}: a connection to {destination} does not arrive at port {}: {other}", settings.outbound_port))
        }
        Err(error) => findings.fault(&format!("{name}: {error}")),
    }
    if rustix::process::geteuid().is_root() {
        as_proxy(settings, destination, own, findings);
    }
}

/// What the proxy itself opens.
fn as_proxy(settings: &Redirect, destination: SocketAddr, own: IpAddr, findings: &mut Findings) {
    let proxy = settings.proxy_uid;
    let name = if destination.is_ipv4() { "IPv4" } else { "IPv6" };
    match arrival(destination, Some(proxy), UNEXPECTED) {
        Ok(Arrival::At(port)) => {
            findings.fault(&format!("{name}: what user {proxy} sends is redirected to port {port}: the proxy would connect to itself"));
        }
        Ok(Arrival::Somewhere | Arrival::Nowhere(_)) => findings.good(&format!("{name}: what user {proxy} sends is not redirected")),
        Err(error) => return findings.good(&format!("{name}: what user {proxy} sends: not checked, {error}")),
    }
    let wanted = settings.include_inbound_port.first().map(|ports| *ports.0.start());
    let taken = |port: &u16| settings.own_ports().contains(port) || holds(&settings.exclude_inbound_port, *port);
    let Some(port) = wanted.into_iter().chain(PORTS).find(|port| !taken(port)) else { return };
    let endpoint = SocketAddr::new(own, port);
    let _stands_in = TcpListener::bind((unspecified(own), settings.inbound_port));
    match arrival(endpoint, Some(proxy), EXPECTED) {
        Ok(Arrival::At(port)) if port == settings.inbound_port => {
            findings.good(&format!("{name}: a connection of user {proxy} to {endpoint}, this machine, arrives at port {port}"));
        }
        Ok(other) => findings.fault(&format!("{name}: a connection of user {proxy} to {endpoint} does not come in by the proxy: {other}")),
        Err(error) => findings.fault(&format!("{name}: {error}")),
    }
}

/// What comes from elsewhere cannot be tried from here: the rule for it is looked at.
fn table(settings: &Redirect, findings: &mut Findings) {
    let (name, port) = (&settings.table, settings.inbound_port);
    let way = match settings.inbound_mode {
        InboundMode::Redirect => "redirect",
        InboundMode::Tproxy => "tproxy",
    };
    match nft::list(name) {
        Err(problem) => findings.good(&format!("connections from elsewhere: not checked, {problem}")),
        Ok(None) => findings.fault(&format!("there is no table inet {name}")),
        Ok(Some(listed)) if leads_to(&listed, way, port) => {
            findings.good(&format!("table inet {name}: connections from elsewhere go to port {port} ({way})"));
        }
        Ok(Some(_)) => {
            findings.fault(&format!("table inet {name} has no rule that brings connections from elsewhere to port {port} ({way})"))
        }
    }
}

/// Without the routing of the mode `tproxy`, packets that are given to the proxy go elsewhere.
fn routing(settings: &Redirect, findings: &mut Findings) {
    match routes::missing(settings) {
        Err(problem) => findings.good(&format!("routing for tproxy: not checked, {problem}")),
        Ok(missing) => missing.iter().for_each(|missing| findings.fault(&format!("routing for tproxy: {missing}"))),
    }
}

/// Whether the chain of what comes in ends in such a statement.
fn leads_to(listed: &Json, way: &str, port: u16) -> bool {
    let objects = listed.get("nftables").and_then(Json::as_array).into_iter().flatten();
    let rules = objects.filter_map(|object| object.get("rule")).filter(|rule| rule.get("chain").is_some_and(|chain| chain == "inbound"));
    let mut statements = rules.filter_map(|rule| rule.get("expr")?.as_array()).flatten();
    statements.any(|statement| statement.get(way).and_then(|way| way.get("port")).is_some_and(|there| *there == port))
}

fn holds(ports: &[Ports], port: u16) -> bool {
    ports.iter().any(|ports| ports.0.contains(&port))
}

fn loopback(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn taken(address: IpAddr, port: u16) -> bool {
    TcpListener::bind((address, port)).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// The address that this machine would connect from; `None` where it has no route. Nothing is sent to find it.
fn own_address(to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((unspecified(to), 0)).ok()?;
    socket.connect((to, PORTS[0])).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_rule_for_what_comes_in_is_found() {
        let listed = |chain: &str, statement: Json| json!({ "nftables": [{ "metainfo": {} }, { "rule": { "chain": chain, "expr": [{ "match": {} }, statement] } }] });
        assert!(leads_to(&listed("inbound", json!({ "redirect": { "port": 15006 } })), "redirect", 15006));
        assert!(!leads_to(&listed("inbound", json!({ "redirect": { "port": 15007 } })), "redirect", 15006));
        assert!(!leads_to(&listed("proxy", json!({ "redirect": { "port": 15006 } })), "redirect", 15006));
        assert!(!leads_to(&listed("inbound", json!({ "redirect": null })), "redirect", 15006));
        assert!(!leads_to(&json!({}), "redirect", 15006));
    }
}
