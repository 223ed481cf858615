//! Flags to rules. What is captured, and what is not, is decided here and told in `docs/redirection.md`.

use crate::redirect::ranges::{merged, of_family};
use crate::redirect::rules::{Action, Chain, Condition, Family, Hook, Rule, Table, Transport};
use crate::settings::redirect::{InboundMode, Ports, Redirect};

const OUTBOUND: &str = "outbound";
const PROXY: &str = "proxy";
const INBOUND: &str = "inbound";
/// Of the mode `tproxy` only.
pub(super) const REPLIES: &str = "replies";
/// All that a run may make.
pub(super) const CHAINS: [&str; 4] = [OUTBOUND, PROXY, INBOUND, REPLIES];

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const NAME_SERVICE: u16 = 53;

/// The rules that the flags ask for.
pub(super) fn table(settings: &Redirect) -> Table {
    let mut chains = vec![outbound(settings), proxy(settings)];
    match settings.inbound_mode {
        InboundMode::Redirect => chains.push(inbound(settings)),
        InboundMode::Tproxy => chains.extend([transparent(settings), replies(settings)]),
    }
    Table { name: settings.table.clone(), chains }
}

fn rule(when: impl IntoIterator<Item = Condition>, then: Action, comment: &'static str) -> Rule {
    Rule { when: when.into_iter().collect(), then, comment }
}

fn own(settings: &Redirect) -> Vec<Ports> {
    merged(settings.own_ports().into_iter().map(Ports::from))
}

/// Ports that clients reach without the proxy.
fn direct(settings: &Redirect) -> Vec<Ports> {
    merged(own(settings).into_iter().chain(settings.exclude_inbound_port.iter().cloned()))
}

/// What programs open.
fn outbound(settings: &Redirect) -> Chain {
    use Condition::{Group, Is, NotUser, To, ToLoopbackAddress, ToNetwork, ToThisMachine, User};
    use Transport::{Tcp, Udp};
    let mut rules = vec![rule([User(vec![settings.proxy_uid])], Action::Chain(PROXY), "what the proxy sends")];
    rules.extend(settings.proxy_gid.map(|group| rule([Group(group)], Action::Chain(PROXY), "what the proxy sends")));
    let users = settings.include_outbound_uid.clone();
    if !users.is_empty() {
        rules.push(rule([NotUser(users)], Action::LetPass, "other users"));
    }
    for family in FAMILIES {
        let networks = of_family(&settings.exclude_outbound_cidr, family);
        if !networks.is_empty() {
            rules.push(rule([ToNetwork(family, networks)], Action::LetPass, "excluded networks"));
        }
    }
    let excluded = merged(settings.exclude_outbound_port.iter().cloned());
    if !excluded.is_empty() {
        rules.push(rule([To(Tcp, excluded.clone())], Action::LetPass, "excluded ports"));
        if settings.dns {
            rules.push(rule([To(Udp, excluded)], Action::LetPass, "excluded ports"));
        }
    }
    rules.push(rule([ToThisMachine, To(Tcp, own(settings))], Action::LetPass, "the proxy's own ports"));
    if settings.dns {
        let questions = vec![Ports::from(NAME_SERVICE)];
        for transport in [Udp, Tcp] {
            rules.push(rule([To(transport, questions.clone())], Action::Redirect(settings.dns_port), "questions for names"));
        }
    }
    rules.extend(FAMILIES.map(|family| rule([ToLoopbackAddress(family)], Action::LetPass, "programs of this machine among themselves")));
    rules.push(rule([Is(Tcp)], Action::Redirect(settings.outbound_port), "everything else"));
    Chain { name: OUTBOUND, hook: Some(Hook::NewOutgoing), rules }
}

/// What the proxy opens. It goes where it goes, but for this: when a service's endpoint is this very machine, the connection comes in
/// again, as it would from another one.
fn proxy(settings: &Redirect) -> Chain {
    use Condition::{FromLoopbackAddress, LeavesByLoopback, Marked, NotTo, NotToLoopbackAddress, To};
    let mut rules = Vec::new();
    if settings.inbound_mode == InboundMode::Tproxy {
        rules.push(rule([Marked(settings.tproxy_mark)], Action::LetPass, "to the application, with the client's address"));
    }
    rules.extend(FAMILIES.map(|family| rule([FromLoopbackAddress(family)], Action::LetPass, "to the application")));
    for family in FAMILIES {
        let mut when = vec![LeavesByLoopback, NotToLoopbackAddress(family), NotTo(Transport::Tcp, direct(settings))];
        let included = merged(settings.include_inbound_port.iter().cloned());
        when.extend((!included.is_empty()).then_some(To(Transport::Tcp, included)));
        rules.push(rule(when, Action::Redirect(settings.inbound_port), "to an endpoint on this machine"));
    }
    Chain { name: PROXY, hook: None, rules }
}

/// What does not go through the proxy on its way in.
fn passing(settings: &Redirect) -> Vec<Rule> {
    use Condition::{CameByLoopback, NotTo, NotToThisMachine, To};
    let mut rules = vec![
        rule([CameByLoopback], Action::LetPass, "programs of this machine among themselves"),
        rule([NotToThisMachine], Action::LetPass, "only passes through"),
        rule([To(Transport::Tcp, direct(settings))], Action::LetPass, "the proxy's own ports, excluded ports"),
    ];
    let included = merged(settings.include_inbound_port.iter().cloned());
    if !included.is_empty() {
        rules.push(rule([NotTo(Transport::Tcp, included)], Action::LetPass, "ports that are not included"));
    }
    rules
}

/// What clients open: the proxy asks the kernel where it was going.
fn inbound(settings: &Redirect) -> Chain {
    let mut rules = passing(settings);
    rules.push(rule([Condition::Is(Transport::Tcp)], Action::Redirect(settings.inbound_port), "everything else"));
    Chain { name: INBOUND, hook: Some(Hook::NewIncoming), rules }
}

/// What clients open: it goes to the proxy with both addresses as they are.
fn transparent(settings: &Redirect) -> Chain {
    use Condition::{CameByLoopback, Is, Marked, Reply};
    let (port, mark) = (settings.inbound_port, settings.tproxy_mark);
    // The application's answers are sent to an address that is not this machine's: the connection remembers that they are for the proxy.
    let kept = rule([CameByLoopback, Marked(mark)], Action::KeepMark, "to the application, with the client's address");
    let mut rules = vec![kept, rule([Reply], Action::LetPass, "answers to what this machine opened")];
    rules.extend(passing(settings));
    rules.push(rule([Is(Transport::Tcp)], Action::Tproxy { port, mark }, "everything else"));
    Chain { name: INBOUND, hook: Some(Hook::Incoming), rules }
}

/// The application's answers to connections under a client's address.
fn replies(settings: &Redirect) -> Chain {
    let mark = settings.tproxy_mark;
    let rules = vec![rule([Condition::ConnectionMarked(mark)], Action::Mark(mark), "answers of the application to the proxy")];
    Chain { name: REPLIES, hook: Some(Hook::Outgoing), rules }
}
