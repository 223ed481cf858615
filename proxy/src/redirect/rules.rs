use crate::config::address::Cidr;
use crate::settings::redirect::Ports;

/// A table of the family inet: IPv4 and IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) chains: Vec<Chain>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// Without one, rules of other chains lead here.
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Rule>,
}

/// Where packets come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// New connections of this machine's programs, whose addresses may be changed.
    NewOutgoing,
    /// New connections that come in, whose addresses may be changed.
    NewIncoming,
    /// All packets that come in.
    Incoming,
    /// All packets of this machine's programs, which are routed again when their mark changes.
    Outgoing,
}

/// What is done where all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) when: Vec<Condition>,
    pub(super) then: Action,
    /// For operators who list the rules.
    pub(super) comment: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// One of these users sends it.
    User(Vec<u32>),
    /// None of them does.
    NotUser(Vec<u32>),
    /// A process of the group sends it.
    Group(u32),
    /// It leaves by the loopback interface: it is for this machine.
    LeavesByLoopback,
    /// It came by the loopback interface.
    CameByLoopback,
    Is(Transport),
    To(Transport, Vec<Ports>),
    NotTo(Transport, Vec<Ports>),
    /// To an address of these networks, all of one family.
    ToNetwork(Family, Vec<Cidr>),
    ToLoopbackAddress(Family),
    NotToLoopbackAddress(Family),
    FromLoopbackAddress(Family),
    /// To an address that this machine has.
    ToThisMachine,
    NotToThisMachine,
    /// The packet's mark.
    Marked(u32),
    /// The mark that its connection was given.
    ConnectionMarked(u32),
    /// An answer to whoever opened the connection.
    Reply,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Goes where it was going.
    LetPass,
    Chain(&'static str),
    /// Changes the destination to a port of this machine.
    Redirect(u16),
    /// Gives the packet to the socket at this port, and a mark that routes it to this machine.
    Tproxy {
        port: u16,
        mark: u32,
    },
    /// Gives the connection the packet's mark.
    KeepMark,
    Mark(u32),
}
