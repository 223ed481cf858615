//! `google.protobuf.Any` with a checked type: what is inside is what the type URL says, or an error names both.

use std::fmt;

use prost::{DecodeError, Message, Name};
use prost_types::Any;

/// Wraps a message, named by its type URL under `type.googleapis.com`.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Takes out a message of the expected type.
///
/// # Errors
/// If the type URL names another message, or if the bytes are not a message of this type.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, UnpackError> {
    if !is::<M>(any) {
        return Err(UnpackError::OtherType { expected: M::full_name(), found: any.type_url.clone() });
    }
    M::decode(any.value.as_slice()).map_err(|source| UnpackError::Malformed { name: M::full_name(), source })
}

/// Whether a message of this type is inside, by its type URL.
#[must_use]
pub fn is<M: Name>(any: &Any) -> bool {
    type_name(&any.type_url) == Some(M::full_name().as_str())
}

/// The message name in a type URL: what follows the last `/`. The domain before it does not matter, as in Envoy.
#[must_use]
pub fn type_name(type_url: &str) -> Option<&str> {
    type_url.rsplit_once('/').map(|(_, name)| name).filter(|name| !name.is_empty())
}

/// Why there is no message of the expected type in an `Any`.
#[derive(Debug)]
pub enum UnpackError {
    /// The type URL names another message, or nothing.
    OtherType {
        /// Full name of the message that was asked for.
        expected: String,
        /// The type URL as it stands.
        found: String,
    },
    /// The bytes are not a message of that type.
    Malformed {
        /// Full name of the message that was asked for.
        name: String,
        /// What is wrong with the bytes.
        source: DecodeError,
    },
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherType { expected, found } => {
                write!(f, "expected a {expected}, got type URL {found:?}")
            }
            Self::Malformed { name, .. } => write!(f, "the bytes are not a {name}"),
        }
    }
}

impl std::error::Error for UnpackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OtherType { .. } => None,
            Self::Malformed { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::envoy::config::cluster::v3::Cluster;
    use crate::envoy::config::core::v3::Pipe;
    use crate::type_url;

    fn pipe() -> Pipe {
        Pipe { path: "/run/x".to_owned(), mode: 7 }
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let any = pack(&pipe());
        assert_eq!(any.type_url, "type.googleapis.com/envoy.config.core.v3.Pipe");
        assert_eq!(unpack::<Pipe>(&any).unwrap(), pipe());
    }

    #[test]
    fn the_domain_of_the_type_url_does_not_matter() {
        let any = Any { type_url: "example.org/x/envoy.config.core.v3.Pipe".to_owned(), ..pack(&pipe()) };
        assert_eq!(unpack::<Pipe>(&any).unwrap(), pipe());
    }

    #[test]
    fn another_type_is_refused_with_both_names() {
        let error = unpack::<Cluster>(&pack(&pipe())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a envoy.config.cluster.v3.Cluster, got type URL \"type.googleapis.com/envoy.config.core.v3.Pipe\""
        );
    }

    #[test]
    fn a_bare_name_is_no_type_url() {
        assert_eq!(type_name("envoy.config.core.v3.Pipe"), None);
        assert_eq!(type_name("type.googleapis.com/"), None);
    }

    #[test]
    fn bytes_of_something_else_are_refused_with_the_cause() {
        let any = Any { type_url: type_url::CLUSTER.to_owned(), value: vec![0xff] };
        let error = unpack::<Cluster>(&any).unwrap_err();
        assert_eq!(error.to_string(), "the bytes are not a envoy.config.cluster.v3.Cluster");
        assert!(error.source().is_some());
    }
}
