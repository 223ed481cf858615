use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::config::route::{Domain, VirtualHost};

/// From a host to the virtual host that serves it. Built once with its table.
///
/// Source: envoyproxy.io, `VirtualHost.domains`: exact names first, then the longest suffix, the longest prefix, and `*`.
#[derive(Clone, Debug, Default)]
pub struct DomainIndex {
    exact: HashMap<Box<str>, Arc<VirtualHost>>,
    suffixes: Vec<SameLength>,
    prefixes: Vec<SameLength>,
    any: Option<Arc<VirtualHost>>,
}

/// Wildcards of one length.
#[derive(Clone, Debug)]
struct SameLength {
    length: usize,
    hosts: HashMap<Box<str>, Arc<VirtualHost>>,
}

/// Two virtual hosts claim one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateDomain {
    /// The domain.
    pub domain: Domain,
    /// Who claims it, in the order of the table.
    pub virtual_hosts: [String; 2],
}

impl fmt::Display for DuplicateDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = &self.virtual_hosts;
        write!(f, "domain {:?} of virtual host {second:?} belongs to {first:?} already", self.domain.to_string())
    }
}

impl std::error::Error for DuplicateDomain {}

/// As it is written in a configuration.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl DomainIndex {
    /// The index of a table's virtual hosts.
    pub fn new(virtual_hosts: &[Arc<VirtualHost>]) -> Result<Self, DuplicateDomain> {
        let mut index = Self::default();
        for host in virtual_hosts {
            for domain in &host.domains {
                if let Some(earlier) = index.insert(domain, host) {
                    let virtual_hosts = [earlier.name.clone(), host.name.clone()];
                    return Err(DuplicateDomain { domain: domain.clone(), virtual_hosts });
                }
            }
        }
        index.suffixes.sort_by_key(|same| std::cmp::Reverse(same.length));
        index.prefixes.sort_by_key(|same| std::cmp::Reverse(same.length));
        Ok(index)
    }

    /// The virtual host that serves `host`; letter case does not count. With `ignore_port`, a port at its end is not looked at.
    pub fn find(&self, host: &str, ignore_port: bool) -> Option<&Arc<VirtualHost>> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any.as_ref();
        }
        let host = if ignore_port { without_port(host) } else { host };
        let host = lower_case(host);
        let named = self.exact.get(host.as_ref());
        let named = named.or_else(|| wildcard(&self.suffixes, &host, |length| host.get(host.len().checked_sub(length)?..)));
        let named = named.or_else(|| wildcard(&self.prefixes, &host, |length| host.get(..length)));
        named.or(self.any.as_ref())
    }

    /// Who had the domain before, if anyone.
    fn insert(&mut self, domain: &Domain, host: &Arc<VirtualHost>) -> Option<Arc<VirtualHost>> {
        match domain {
            Domain::Exact(name) => put(&mut self.exact, name, host),
            Domain::Suffix(suffix) => put(same_length(&mut self.suffixes, suffix.len()), suffix, host),
            Domain::Prefix(prefix) => put(same_length(&mut self.prefixes, prefix.len()), prefix, host),
            Domain::Any => self.any.replace(Arc::clone(host)),
        }
    }
}

fn put(hosts: &mut HashMap<Box<str>, Arc<VirtualHost>>, name: &str, host: &Arc<VirtualHost>) -> Option<Arc<VirtualHost>> {
    hosts.insert(lower_case(name).into(), Arc::clone(host))
}

fn same_length(wildcards: &mut Vec<SameLength>, length: usize) -> &mut HashMap<Box<str>, Arc<VirtualHost>> {
    let at = wildcards.iter().position(|same| same.length == length).unwrap_or(wildcards.len());
    if at == wildcards.len() {
        wildcards.push(SameLength { length, hosts: HashMap::new() });
    }
    #[expect(clippy::indexing_slicing, reason = "it was found or pushed just now")]
    &mut wildcards[at].hosts
}

/// The longest wildcard that fits. `*.example.com` does not serve `.example.com`: something must stand for the `*`.
fn wildcard<'a, 'b>(
    wildcards: &'a [SameLength],
    host: &str,
    part: impl Fn(usize) -> Option<&'b str>,
) -> Option<&'a Arc<VirtualHost>> {
    wildcards.iter().filter(|same| same.length < host.len()).find_map(|same| same.hosts.get(part(same.length)?))
}

/// Whatever follows the last colon counts as a port, as in Envoy; the colons of an IPv6 address in brackets do not.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// Allocates only where there is a letter to change.
fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}
