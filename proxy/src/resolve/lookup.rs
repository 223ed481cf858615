use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, TokioResolver};

use crate::config::cluster::{Dns, DnsFamily};

/// A look-up may take this long, over all servers and tries.
const LOOKUP_LIMIT: Duration = Duration::from_secs(10);

/// Asks servers.
pub(super) struct Lookup(Result<TokioResolver, LookupError>);

/// Addresses, at least one.
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    /// The shortest of the answer.
    pub(super) ttl: Duration,
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LookupError {
    /// It took longer than [`LOOKUP_LIMIT`].
    TimedOut,
    /// The name has no address, or the servers do not answer.
    Failed(String),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => write!(f, "no answer in {}", humantime::format_duration(LOOKUP_LIMIT)),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Lookup {
    pub(super) fn new(dns: &Dns) -> Self {
        let (config, mut options) = if dns.resolvers.is_empty() {
            // Without resolv.conf the hosts file still works.
            read_system_conf().unwrap_or_else(|_| (ResolverConfig::from_name_servers(Vec::new()), ResolverOpts::default()))
        } else {
            (ResolverConfig::from_name_servers(servers(dns)), ResolverOpts::default())
        };
        options.ip_strategy = strategy(dns.family);
        options.use_hosts_file = ResolveHosts::Always;
        // Answers are kept as endpoints; a look-up is meant to ask.
        options.cache_size = 0;
        let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        Self(builder.build().map_err(|error| LookupError::Failed(error.to_string())))
    }

    pub(super) async fn addresses(&self, host: &str) -> Result<Answer, LookupError> {
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        let answer = tokio::time::timeout(LOOKUP_LIMIT, resolver.lookup_ip(host)).await;
        let answer = answer.map_err(|_| LookupError::TimedOut)?;
        let answer = answer.map_err(|error| LookupError::Failed(error.to_string()))?;
        let addresses: Vec<_> = answer.iter().collect();
        if addresses.is_empty() {
            return Err(LookupError::Failed(String::from("the answer has no address")));
        }
        let ttl = answer.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or(0);
        Ok(Answer { addresses, ttl: Duration::from_secs(u64::from(ttl)) })
    }
}

fn servers(dns: &Dns) -> Vec<NameServerConfig> {
    let server = |address: &std::net::SocketAddr| {
        let mut connections = vec![ConnectionConfig::tcp()];
        if !dns.use_tcp {
            connections.insert(0, ConnectionConfig::udp());
        }
        for connection in &mut connections {
            connection.port = address.port();
        }
        // An answer of NXDOMAIN is the answer; the next server is asked only when this one does not answer.
        NameServerConfig::new(address.ip(), true, connections)
    };
    dns.resolvers.iter().map(server).collect()
}

fn strategy(family: DnsFamily) -> LookupIpStrategy {
    match family {
        DnsFamily::Auto => LookupIpStrategy::Ipv6thenIpv4,
        DnsFamily::V4Only => LookupIpStrategy::Ipv4Only,
        DnsFamily::V6Only => LookupIpStrategy::Ipv6Only,
        DnsFamily::V4Preferred => LookupIpStrategy::Ipv4thenIpv6,
        DnsFamily::All => LookupIpStrategy::Ipv4AndIpv6,
    }
}
