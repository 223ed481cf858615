//! Flags of the proxy's DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;

use crate::config::names::NameService;

/// The port that `redirect --dns` sends questions to, as in Istio.
const PORT: u16 = 15053;
const NAME_SERVICE: u16 = 53;

/// Whether and where questions for names are answered.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Answer the questions for names that `redirect --dns` brings: for hosts of the mesh from what the control plane says, for all
    /// others from this machine's resolvers
    #[arg(long, env = "NINON_DNS")]
    pub dns: bool,
    /// Where they come to the proxy, UDP and TCP; loopback addresses [default: port 15053 of 127.0.0.1 and, where there is
    /// IPv6, of ::1]
    #[arg(long, value_name = "ADDRESS,...", env = "NINON_DNS_ADDRESS", requires = "dns", value_delimiter = ',', value_parser = loopback)]
    pub dns_address: Vec<SocketAddr>,
    /// Resolvers that are asked for all other names, one when the one before does not answer [default: those of /etc/resolv.conf, which
    /// is read again when it changes]
    #[arg(long, value_name = "IP[:PORT],...", env = "NINON_DNS_RESOLVER", requires = "dns", value_delimiter = ',', value_parser = resolver)]
    pub dns_resolver: Vec<SocketAddr>,
}

impl Dns {
    /// What was asked for; `None`: nothing.
    pub fn service(&self) -> Option<NameService> {
        let both = || [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(|ip: IpAddr| SocketAddr::new(ip, PORT)).to_vec();
        let are_given = !self.dns_address.is_empty();
        self.dns.then(|| NameService {
            addresses: if are_given { self.dns_address.clone() } else { both() },
            are_given,
            resolvers: self.dns_resolver.clone(),
        })
    }
}

/// Anywhere else, it would be a resolver for strangers.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "not IP:PORT".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("not a loopback address".to_owned()) }
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, NAME_SERVICE)));
    address.ok().filter(|address| address.port() != 0).ok_or_else(|| "not IP or IP:PORT".to_owned())
}
