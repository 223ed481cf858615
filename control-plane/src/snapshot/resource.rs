use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use prost::{Message, Name};
use prost_types::Any;

/// A resource as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name.
    pub name: Arc<str>,
    /// A name for its content.
    pub version: Version,
    /// A `google.protobuf.Any`, encoded.
    pub any: Bytes,
}

/// A name for content: the same content has the same on every replica and after every start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// Of some bytes: the first 64 bits of their SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, bytes);
        let first = digest.as_ref().first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }

    /// Of many versions, in their order.
    pub fn of_all(versions: impl IntoIterator<Item = Self>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for Self(version) in versions {
            context.update(&version.to_be_bytes());
        }
        let first = context.finish().as_ref().first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Resource {
    /// Encodes a message.
    pub fn new<M: Message + Name>(name: impl Into<Arc<str>>, message: &M) -> Self {
        let any = Any { type_url: M::type_url(), value: message.encode_to_vec() }.encode_to_vec();
        Self { name: name.into(), version: Version::of(&any), any: any.into() }
    }
}
