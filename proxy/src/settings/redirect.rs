//! Flags of `redirect`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

use crate::config::address::Cidr;

/// Ports of the proxy that are not for redirected connections: admin, and health and metrics.
const PAGES: [u16; 2] = [15000, 15020];
/// The longest name that the kernel takes for a table is far longer.
const LONGEST_NAME: usize = 32;

/// Settings of `redirect`. The other names that flags have are those of Istio's and Linkerd's init containers.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Port of the proxy that gets the TCP connections which programs on this machine open
    #[arg(long, aliases = ["outgoing-proxy-port", "envoy-port"], value_name = "PORT", env = "NINON_OUTBOUND_PORT", default_value = "15001", value_parser = port())]
    pub outbound_port: u16,
    /// Port of the proxy that gets the TCP connections which come to this machine
    #[arg(long, aliases = ["incoming-proxy-port", "inbound-capture-port"], value_name = "PORT", env = "NINON_INBOUND_PORT", default_value = "15006", value_parser = port())]
    pub inbound_port: u16,
    /// User, by number, that the proxy runs as: what it sends is never redirected to itself
    #[arg(long, value_name = "UID", env = "NINON_PROXY_UID", default_value = "1337", value_parser = id())]
    pub proxy_uid: u32,
    /// Group, by number, whose processes are taken for the proxy as well [default: none]
    #[arg(long, value_name = "GID", env = "NINON_PROXY_GID", value_parser = id())]
    pub proxy_gid: Option<u32>,
    /// Redirect what these users send, by number, and nobody else's [default: everybody but the proxy]
    #[arg(long, value_name = "UID,...", env = "NINON_INCLUDE_OUTBOUND_UID", value_delimiter = ',', value_parser = id())]
    pub include_outbound_uid: Vec<u32>,
    /// Destination ports that programs reach without the proxy
    #[arg(long, aliases = ["exclude-outbound-ports", "outbound-ports-to-ignore"], value_name = "PORT|PORT-PORT,...", env = "NINON_EXCLUDE_OUTBOUND_PORT", value_delimiter = ',')]
    pub exclude_outbound_port: Vec<Ports>,
    /// Destination addresses that programs reach without the proxy, DNS servers among them
    #[arg(long, aliases = ["exclude-outbound-cidrs", "subnets-to-ignore"], value_name = "ADDRESS[/BITS],...", env = "NINON_EXCLUDE_OUTBOUND_CIDR", value_delimiter = ',', value_parser = network)]
    pub exclude_outbound_cidr: Vec<Cidr>,
    /// Ports of this machine that clients reach without the proxy, beside its own
    #[arg(long, aliases = ["exclude-inbound-ports", "inbound-ports-to-ignore"], value_name = "PORT|PORT-PORT,...", env = "NINON_EXCLUDE_INBOUND_PORT", value_delimiter = ',')]
    pub exclude_inbound_port: Vec<Ports>,
    /// Ports of this machine for which connections go through the proxy, and no others [default: all]
    #[arg(
        long,
        alias = "include-inbound-ports",
        value_name = "PORT|PORT-PORT,...",
        env = "NINON_INCLUDE_INBOUND_PORT",
        value_delimiter = ','
    )]
    pub include_inbound_port: Vec<Ports>,
    /// Redirect questions for names, UDP and TCP to port 53, to the proxy's port for them
    #[arg(long, aliases = ["redirect-dns"], env = "NINON_DNS")]
    pub dns: bool,
    /// Port of the proxy for questions for names
    #[arg(long, value_name = "PORT", env = "NINON_DNS_PORT", default_value = "15053", value_parser = port())]
    pub dns_port: u16,
    /// How connections that come to this machine reach the proxy
    #[arg(long, alias = "inbound-interception-mode", value_name = "MODE", env = "NINON_INBOUND_MODE", value_enum, ignore_case = true, default_value_t = InboundMode::Redirect)]
    pub inbound_mode: InboundMode,
    /// Mark of packets that are for the proxy, and of the proxy's connections under a client's address (mode tproxy)
    #[arg(long, alias = "inbound-tproxy-mark", value_name = "NUMBER", env = "NINON_TPROXY_MARK", default_value = "1337", value_parser = clap::value_parser!(u32).range(1..))]
    pub tproxy_mark: u32,
    /// Number of the routing table for packets with that mark (mode tproxy)
    #[arg(long, alias = "inbound-tproxy-route-table", value_name = "NUMBER", env = "NINON_TPROXY_ROUTE_TABLE", default_value = "133", value_parser = clap::value_parser!(u32).range(1..=252))]
    pub tproxy_route_table: u32,
    /// Name of the nftables table (family inet) that holds the rules, and nothing else
    #[arg(long, value_name = "NAME", env = "NINON_REDIRECT_TABLE", default_value = "ninon", value_parser = table)]
    pub table: String,
    /// Print what nft would be given, as JSON, and change nothing; needs no privileges
    #[arg(long, alias = "simulate")]
    pub dry_run: bool,
    /// Change nothing, and verify with connections of this process that they are redirected; exit code 1 if not
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// Remove the rules; of the mode tproxy the routing, too, which is found by --tproxy-mark and --tproxy-route-table
    #[arg(long, conflicts_with_all = ["dry_run", "check"])]
    pub remove: bool,
}

/// How connections that come to this machine reach the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InboundMode {
    /// Their destination is changed to the proxy's port; the proxy asks the kernel for the one before.
    Redirect,
    /// They keep both addresses, and the application may see the client's; the proxy needs CAP_NET_ADMIN.
    Tproxy,
}

/// A port, or all from one to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub RangeInclusive<u16>);

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self(port..=port)
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err("neither a port from 1 to 65535 nor two, the lower one first, with - between".to_owned()),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.start() == self.0.end() { write!(f, "{}", self.0.start()) } else { write!(f, "{}-{}", self.0.start(), self.0.end()) }
    }
}

impl Redirect {
    /// The ports of the proxy itself.
    pub fn own_ports(&self) -> Vec<u16> {
        let mut ports = vec![self.outbound_port, self.inbound_port];
        ports.extend(self.dns.then_some(self.dns_port));
        ports.extend(PAGES);
        ports
    }

    /// What is wrong with flags that are each good.
    pub(super) fn contradiction(&self) -> Option<String> {
        let ports = self.own_ports();
        let twice = ports.iter().enumerate().find(|(index, port)| ports.iter().take(*index).any(|before| before == *port));
        if let Some((_, port)) = twice {
            return Some(format!(
                "port {port} is the proxy's for two things: outbound, inbound, DNS, admin (15000) and health (15020) differ"
            ));
        }
        if self.include_outbound_uid.contains(&self.proxy_uid) {
            return Some(format!("--include-outbound-uid {0}: user {0} is the proxy (--proxy-uid)", self.proxy_uid));
        }
        None
    }
}

fn port() -> RangedU64ValueParser<u16> {
    RangedU64ValueParser::new().range(1..=65535)
}

/// All but the highest, by which the system means nobody.
fn id() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(..u64::from(u32::MAX))
}

fn network(text: &str) -> Result<Cidr, String> {
    let wrong = || "neither an address nor ADDRESS/BITS".to_owned();
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => bits.parse::<u8>().ok().filter(|number| bits == number.to_string()).ok_or_else(wrong)?,
    };
    let cidr = Cidr::new(address, bits).ok_or_else(|| format!("{address} has {most} bits only"))?;
    let first = first(address, bits);
    if first == address { Ok(cidr) } else { Err(format!("has bits set after the first {bits}; the network is {first}/{bits}")) }
}

/// The first address of a network.
fn first(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(bits))).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(bits))).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

fn table(text: &str) -> Result<String, String> {
    let mut letters = text.chars();
    let begins = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on = letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'));
    if begins && goes_on && text.len() <= LONGEST_NAME {
        return Ok(text.to_owned());
    }
    Err(format!("not a name: a letter, then letters, digits, _ and -, {LONGEST_NAME} in all at most"))
}
