use std::any::Any as Anything;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use prost::{Message, Name};
use prost_types::Any;
use xds_proto::envoy::config::cluster::v3 as cluster;

/// A resource as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name.
    pub name: Arc<str>,
    /// A name for its content.
    pub version: Version,
    /// A `google.protobuf.Any`, encoded.
    pub any: Bytes,
    /// Of a cluster: the name under which its endpoints are asked for.
    pub endpoints: Option<Arc<str>>,
}

/// A name for content: the same content has the same on every replica and after every start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// Of nothing: no content has it.
    pub const NONE: Self = Self(0);

    /// Of some bytes: the first 64 bits of their SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        Self::first_of(&digest::digest(&digest::SHA256, bytes))
    }

    /// Of many names and versions, in their order.
    pub fn of_all<'a>(parts: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for (name, Self(version)) in parts {
            context.update(name.as_bytes());
            // No name contains it: `ab`, `c` and `a`, `bc` differ.
            context.update(&[0]);
            context.update(&version.to_be_bytes());
        }
        Self::first_of(&context.finish())
    }

    /// As it was written by [`Display`](fmt::Display).
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_one { u64::from_str_radix(text, 16).ok().map(Self) } else { None }
    }

    fn first_of(digest: &digest::Digest) -> Self {
        Self(u64::from_be_bytes(digest.as_ref().first_chunk::<8>().copied().unwrap_or_default()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Resource {
    /// Encodes a message.
    pub fn new<M: Message + Name + 'static>(name: impl Into<Arc<str>>, message: &M) -> Self {
        let name = name.into();
        let any = Any { type_url: M::type_url(), value: message.encode_to_vec() }.encode_to_vec();
        let message: &dyn Anything = message;
        let cluster = message.downcast_ref::<cluster::Cluster>();
        let endpoints = cluster.and_then(|cluster| endpoints_of(cluster, &name));
        Self { version: Version::of(&any), any: any.into(), endpoints, name }
    }
}

/// The name under which a cluster of type EDS asks for its endpoints.
fn endpoints_of(cluster: &cluster::Cluster, name: &Arc<str>) -> Option<Arc<str>> {
    use cluster::cluster::{ClusterDiscoveryType, DiscoveryType};
    if !matches!(cluster.cluster_discovery_type, Some(ClusterDiscoveryType::Type(kind)) if kind == i32::from(DiscoveryType::Eds)) {
        return None;
    }
    let given = cluster.eds_cluster_config.as_ref().map(|config| config.service_name.as_str());
    Some(given.filter(|given| !given.is_empty()).map_or_else(|| Arc::clone(name), Arc::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eds(service_name: &str) -> cluster::Cluster {
        use cluster::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};
        cluster::Cluster {
            name: "a".to_owned(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
            eds_cluster_config: Some(EdsClusterConfig { service_name: service_name.to_owned(), ..EdsClusterConfig::default() }),
            ..cluster::Cluster::default()
        }
    }

    #[test]
    fn a_cluster_knows_the_name_of_its_endpoints() {
        assert_eq!(Resource::new("a", &eds("")).endpoints.as_deref(), Some("a"));
        assert_eq!(Resource::new("a", &eds("b")).endpoints.as_deref(), Some("b"));
        assert_eq!(Resource::new("a", &cluster::Cluster::default()).endpoints, None);
    }

    #[test]
    fn a_version_is_read_as_it_is_written() {
        let version = Version::of(b"some bytes");
        assert_eq!(Version::parse(&version.to_string()), Some(version));
        assert_eq!(Version::parse(""), None);
        assert_eq!(Version::parse("+00000000000000f"), None);
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        let some = Version::of(b"x");
        assert_ne!(Version::of_all([("ab", some), ("c", some)]), Version::of_all([("a", some), ("bc", some)]));
    }
}
