//! The last good configuration as the bytes of a file: what a server has sent and was accepted, so that a proxy can start while
//! no server can be reached.

use std::fmt;

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use prost::Message as _;
use xds_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};

use crate::xds::inventory::Inventory;
use crate::xds::resource::{self, Kind, Offered};

/// The first line. Another form of file has another number.
const MAGIC: &[u8] = b"ninon-resources 1\n";

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheError {
    /// Not a file of this kind, or of another version.
    Foreign,
    /// Its checksum does not fit.
    Damaged,
    /// Of another proxy; whose.
    Node(String),
    /// Its checksum fits, and it cannot be read.
    Malformed(String),
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a file of resources of this version"),
            Self::Damaged => f.write_str("its checksum does not fit: it was cut off or changed"),
            Self::Node(node) => write!(f, "it belongs to the proxy {node:?}"),
            Self::Malformed(why) => write!(f, "it cannot be read: {why}"),
        }
    }
}

impl std::error::Error for CacheError {}

/// What servers have sent to the proxy `node`. To be sealed before it is written.
pub fn collect(inventory: &Inventory, node: &str) -> Vec<u8> {
    let resources = inventory.sent().map(|(name, version, body)| Resource {
        name: name.to_owned(),
        version: version.to_owned(),
        resource: Some(body.clone()),
        ..Resource::default()
    });
    let all = DeltaDiscoveryResponse { resources: resources.collect(), system_version_info: node.to_owned(), ..Default::default() };
    all.encode_to_vec()
}

/// A file with a checksum: the first line, SHA-256 of the rest, the rest.
pub fn seal(collected: &[u8]) -> Vec<u8> {
    let digest = digest::digest(&SHA256, collected);
    [MAGIC, digest.as_ref(), collected].concat()
}

/// What a file holds, in the order in which it is to be taken.
///
/// # Errors
/// See [`CacheError`]. Resources that are not good any more are for the inventory to refuse.
pub fn open(file: &[u8], node: &str) -> Result<Vec<(Kind, Offered)>, CacheError> {
    let rest = file.strip_prefix(MAGIC).ok_or(CacheError::Foreign)?;
    let (sum, collected) = rest.split_at_checked(SHA256_OUTPUT_LEN).ok_or(CacheError::Damaged)?;
    if digest::digest(&SHA256, collected).as_ref() != sum {
        return Err(CacheError::Damaged);
    }
    let all = DeltaDiscoveryResponse::decode(collected).map_err(|error| CacheError::Malformed(error.to_string()))?;
    if all.system_version_info != node {
        return Err(CacheError::Node(all.system_version_info));
    }
    let mut offered = Vec::with_capacity(all.resources.len());
    for wrapped in &all.resources {
        let kind = wrapped.resource.as_ref().and_then(|body| Kind::from_type_url(&body.type_url));
        let kind = kind.ok_or_else(|| CacheError::Malformed(format!("{:?} is of no known type", wrapped.name)))?;
        offered.push((kind, resource::read_wrapped(kind, wrapped).map_err(|refusal| CacheError::Malformed(refusal.to_string()))?));
    }
    // Secrets before what names them, so that each is read once.
    offered.sort_by_key(|(kind, _)| std::cmp::Reverse(*kind));
    Ok(offered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::inventory::tests::{cluster, endpoints, listener, offer, routes, scope, with_server};
    use crate::xds::resource::Sink as _;

    fn filled() -> Inventory {
        let mut inventory = Inventory::new(with_server());
        for resource in [cluster("web"), endpoints("web", 80), listener("in", 8080, "r"), scope("a", "1", "r"), routes("r", "web")] {
            offer(&mut inventory, "7", &resource).unwrap();
        }
        inventory
    }

    #[test]
    fn what_was_written_is_read() {
        let before = filled();
        let offered = open(&seal(&collect(&before, "me")), "me").unwrap();
        let mut after = Inventory::new(with_server());
        for (kind, offered) in &offered {
            after.offer(*kind, offered).unwrap();
        }
        assert_eq!(collect(&after, "me"), collect(&before, "me"));
        assert_eq!(offered.first().map(|(kind, offered)| (*kind, offered.version.as_str())), Some((Kind::Route, "7")));
    }

    #[test]
    fn a_damaged_file_is_not_used() {
        let good = seal(&collect(&filled(), "me"));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let expected = if at < MAGIC.len() { CacheError::Foreign } else { CacheError::Damaged };
            assert_eq!(open(&bad, "me"), Err(expected), "byte {at}");
            assert!(open(&good[..at], "me").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_file_of_another_proxy_is_not_used() {
        let file = seal(&collect(&filled(), "one"));
        assert_eq!(open(&file, "another"), Err(CacheError::Node("one".to_owned())));
    }
}
