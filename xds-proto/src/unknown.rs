//! What a resource sets although it lies outside the slice. prost drops such fields; here they are found, by path.
//!
//! The walk reads the encoded bytes along the descriptors, into every `Any` whose type is known, and builds nothing: its
//! memory is the list it returns, and its depth and that list are bounded. Whether a finding refuses the resource or is
//! only a warning is the caller's decision.

use std::collections::BTreeMap;
use std::fmt;

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use prost_types::Any;

use crate::any;
use crate::path::Path;
use crate::{Fault, MAX_DEPTH};

/// Something that is set but that Ninon does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Where it is, such as `filter_chains[0].filters[1].typed_config.#47`.
    pub path: String,
    /// What it is.
    pub kind: UnknownKind,
}

/// The kinds of things outside the slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownKind {
    /// A field of a JSON or YAML file, by name.
    Field {
        /// Full name of the message.
        message: String,
        /// The field of that message with the most similar name, if one is similar.
        nearest: Option<String>,
    },
    /// A field of an encoded message: only its number is known.
    Number {
        /// The field's number in its message.
        number: u32,
        /// Full name of the message.
        message: String,
    },
    /// An `Any` of a type outside the slice. When read from JSON its value is left empty.
    AnyType {
        /// The type URL as it stands.
        type_url: String,
    },
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            UnknownKind::Field { nearest: None, .. } => write!(f, "{}: no such field", self.path),
            UnknownKind::Field { nearest: Some(name), .. } => {
                write!(f, "{}: no such field, did you mean {name}?", self.path)
            }
            UnknownKind::Number { number, message } => {
                write!(f, "{}: field {number} of {message} is not supported", self.path)
            }
            UnknownKind::AnyType { type_url } => {
                write!(f, "{}: type {type_url:?} is not supported", self.path)
            }
        }
    }
}

/// Lists what lies outside the slice in a resource. The path starts inside the resource, not with its name.
///
/// # Errors
/// If the resource is malformed, nested deeper than [`MAX_DEPTH`], or has more than [`MAX_UNKNOWN`] findings.
pub fn in_any(pool: &DescriptorPool, resource: &Any) -> Result<Vec<Unknown>, Fault> {
    let mut walk = Walk { pool, path: Path::default(), found: Vec::new() };
    walk.payload(&resource.type_url, &resource.value, 0)?;
    Ok(walk.found)
}

/// Lists what lies outside the slice in the encoded message of a given type, such as `envoy.config.core.v3.Node`.
///
/// # Errors
/// As [`in_any`]; and if the type is not in the slice.
pub fn in_message(pool: &DescriptorPool, type_name: &str, encoded: &[u8]) -> Result<Vec<Unknown>, Fault> {
    let mut walk = Walk { pool, path: Path::default(), found: Vec::new() };
    let Some(descriptor) = pool.get_message_by_name(type_name) else {
        return Err(walk.fault(format_args!("type {type_name} is not supported")));
    };
    walk.message(&descriptor, encoded, 0)?;
    Ok(walk.found)
}

/// More findings than this are not a list for a person any more, and the resource is refused as a whole.
pub const MAX_UNKNOWN: usize = 1000;

const MAP_KEY: u32 = 1;
const MAP_VALUE: u32 = 2;
const ANY_TYPE_URL: u32 = 1;
const ANY_VALUE: u32 = 2;

struct Walk<'a> {
    pool: &'a DescriptorPool,
    path: Path,
    found: Vec<Unknown>,
}

impl Walk<'_> {
    fn payload(&mut self, type_url: &str, value: &[u8], depth: usize) -> Result<(), Fault> {
        let known = any::type_name(type_url).and_then(|name| self.pool.get_message_by_name(name));
        match known {
            Some(descriptor) => self.message(&descriptor, value, depth),
            // An Any that was never filled says nothing that could be lost.
            None if type_url.is_empty() && value.is_empty() => Ok(()),
            None => self.report(UnknownKind::AnyType { type_url: type_url.to_owned() }),
        }
    }

    fn message(&mut self, descriptor: &MessageDescriptor, mut bytes: &[u8], depth: usize) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(self.fault(format_args!("nested deeper than {MAX_DEPTH} messages")));
        }
        match descriptor.full_name() {
            "google.protobuf.Any" => return self.any(bytes, depth),
            name if name.starts_with("google.protobuf.") => return Ok(()),
            _ => {}
        }
        let mut seen = BTreeMap::<u32, usize>::new();
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes).map_err(|error| self.malformed(&error))?;
            let count = seen.entry(number).or_default();
            let index = *count;
            *count = index.saturating_add(1);
            let mark = self.path.mark();
            match descriptor.get_field(number) {
                Some(field) => self.field(&field, index, wire_type, &mut bytes, depth)?,
                None => {
                    self.skip(wire_type, number, &mut bytes)?;
                    if index == 0 {
                        self.path.number(number);
                        let message = descriptor.full_name().to_owned();
                        self.report(UnknownKind::Number { number, message })?;
                    }
                }
            }
            self.path.back_to(mark);
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, index: usize, wire_type: WireType, bytes: &mut &[u8], depth: usize) -> Result<(), Fault> {
        let kind = field.kind();
        let Some(descriptor) = kind.as_message() else {
            return self.skip(wire_type, field.number(), bytes);
        };
        self.path.field(field.name());
        if wire_type != WireType::LengthDelimited {
            return Err(self.fault(format_args!("expected a message, got wire type {wire_type:?}")));
        }
        let body = self.delimited(bytes)?;
        if field.is_map() {
            return self.map_entry(descriptor, body, depth.saturating_add(1));
        }
        if field.is_list() {
            self.path.index(index);
        }
        self.message(descriptor, body, depth.saturating_add(1))
    }

    fn map_entry(&mut self, entry: &MessageDescriptor, body: &[u8], depth: usize) -> Result<(), Fault> {
        let value_kind = entry.map_entry_value_field().kind();
        let Some(descriptor) = value_kind.as_message() else {
            return Ok(());
        };
        if entry.map_entry_key_field().kind() == Kind::String {
            self.path.key(&String::from_utf8_lossy(self.last(body, MAP_KEY)?));
        } else {
            self.path.key("?");
        }
        // A value that is written twice is merged by decoders, so each occurrence is looked at.
        let mut rest = body;
        while let Some(value) = self.next(&mut rest, MAP_VALUE)? {
            self.message(descriptor, value, depth.saturating_add(1))?;
        }
        Ok(())
    }

    fn any(&mut self, body: &[u8], depth: usize) -> Result<(), Fault> {
        let type_url = String::from_utf8_lossy(self.last(body, ANY_TYPE_URL)?);
        self.payload(&type_url, self.last(body, ANY_VALUE)?, depth.saturating_add(1))
    }

    /// The last occurrence of a field of bytes: the one that counts for every protobuf decoder.
    fn last<'b>(&self, mut bytes: &'b [u8], wanted: u32) -> Result<&'b [u8], Fault> {
        let mut last: &[u8] = &[];
        while let Some(found) = self.next(&mut bytes, wanted)? {
            last = found;
        }
        Ok(last)
    }

    fn next<'b>(&self, bytes: &mut &'b [u8], wanted: u32) -> Result<Option<&'b [u8]>, Fault> {
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(bytes).map_err(|error| self.malformed(&error))?;
            if number == wanted && wire_type == WireType::LengthDelimited {
                return self.delimited(bytes).map(Some);
            }
            self.skip(wire_type, number, bytes)?;
        }
        Ok(None)
    }

    fn delimited<'b>(&self, bytes: &mut &'b [u8]) -> Result<&'b [u8], Fault> {
        let length = decode_varint(bytes).map_err(|error| self.malformed(&error))?;
        let split = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        let Some((body, rest)) = split else {
            return Err(self.fault(format_args!("the message ends too early")));
        };
        *bytes = rest;
        Ok(body)
    }

    fn skip(&self, wire_type: WireType, number: u32, bytes: &mut &[u8]) -> Result<(), Fault> {
        skip_field(wire_type, number, bytes, DecodeContext::default()).map_err(|error| self.malformed(&error))
    }

    fn report(&mut self, kind: UnknownKind) -> Result<(), Fault> {
        if self.found.len() >= MAX_UNKNOWN {
            return Err(self.fault(format_args!("more than {MAX_UNKNOWN} fields are not supported")));
        }
        self.found.push(Unknown { path: self.path.text().to_owned(), kind });
        Ok(())
    }

    fn malformed(&self, error: &DecodeError) -> Fault {
        self.fault(format_args!("malformed: {error}"))
    }

    fn fault(&self, problem: fmt::Arguments<'_>) -> Fault {
        Fault { path: self.path.text().to_owned(), problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::descriptor_pool;
    use crate::envoy::config::cluster::v3::Cluster;
    use crate::envoy::config::core::v3::{Metadata, TransportSocket, transport_socket};
    use crate::envoy::config::listener::v3::{FilterChain, Listener};
    use crate::type_url;

    /// Field 2000 as the text "x": no message has it.
    const STRANGER: [u8; 4] = [0x82, 0x7d, 0x01, b'x'];

    fn with_stranger(message: &impl prost::Message) -> Vec<u8> {
        let mut encoded = message.encode_to_vec();
        encoded.extend(STRANGER);
        encoded
    }

    fn found(type_url: &str, value: Vec<u8>) -> Vec<String> {
        let resource = Any { type_url: type_url.to_owned(), value };
        let found = in_any(&descriptor_pool().unwrap(), &resource).unwrap();
        assert_eq!(crate::is_within(&resource), found.is_empty(), "{found:?}");
        found.iter().map(ToString::to_string).collect()
    }

    fn refused(type_url: &str, value: Vec<u8>) -> String {
        let resource = Any { type_url: type_url.to_owned(), value };
        assert!(!crate::is_within(&resource));
        in_any(&descriptor_pool().unwrap(), &resource).unwrap_err().to_string()
    }

    fn socket(type_url: &str, value: Vec<u8>) -> Option<TransportSocket> {
        let config = Any { type_url: type_url.to_owned(), value };
        Some(TransportSocket { name: "tls".to_owned(), config_type: Some(transport_socket::ConfigType::TypedConfig(config)) })
    }

    #[test]
    fn nothing_is_found_in_what_the_slice_covers() {
        let cluster = Cluster { name: "a".to_owned(), lb_policy: 1, ..Cluster::default() };
        assert!(found(type_url::CLUSTER, cluster.encode_to_vec()).is_empty());
    }

    #[test]
    fn a_field_outside_the_slice_is_found_once_per_message() {
        let mut value = with_stranger(&Cluster::default());
        value.extend(STRANGER);
        assert_eq!(found(type_url::CLUSTER, value), ["#2000: field 2000 of envoy.config.cluster.v3.Cluster is not supported"]);
    }

    #[test]
    fn a_field_deep_inside_is_found_through_an_any() {
        let chain = FilterChain { transport_socket: socket(type_url::DOWNSTREAM_TLS_CONTEXT, STRANGER.to_vec()), ..FilterChain::default() };
        let listener = Listener { filter_chains: vec![FilterChain::default(), chain], ..Listener::default() };
        assert_eq!(
            found(type_url::LISTENER, listener.encode_to_vec()),
            ["filter_chains[1].transport_socket.typed_config.#2000: field 2000 of \
              envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext is not supported"]
        );
    }

    #[test]
    fn an_any_of_an_unknown_type_is_found() {
        let cluster = Cluster { transport_socket: socket("example.org/a.B", vec![1]), ..Cluster::default() };
        assert_eq!(
            found(type_url::CLUSTER, cluster.encode_to_vec()),
            ["transport_socket.typed_config: type \"example.org/a.B\" is not supported"]
        );
    }

    #[test]
    fn a_map_names_its_keys() {
        let any = Any { type_url: "example.org/a.B".to_owned(), value: Vec::new() };
        let metadata = Metadata { typed_filter_metadata: [("k".to_owned(), any)].into(), ..Metadata::default() };
        let encoded = metadata.encode_to_vec();
        let found = in_message(&descriptor_pool().unwrap(), "envoy.config.core.v3.Metadata", &encoded).unwrap();
        assert_eq!(found[0].path, "typed_filter_metadata[\"k\"]");
    }

    #[test]
    fn a_value_merged_from_two_occurrences_hides_nothing() {
        // Map field 2, entry of 12 bytes: key "k", then the value twice; the stranger is in the first.
        let mut value = vec![0x12, 11, 0x0a, 1, b'k', 0x12, 4];
        value.extend([0x0a, 2, b'/', b'a']);
        value.extend([0x12, 0]);
        let pool = descriptor_pool().unwrap();
        let found = in_message(&pool, "envoy.config.core.v3.Metadata", &value).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn malformed_bytes_are_refused() {
        assert!(refused(type_url::CLUSTER, vec![0xff]).starts_with("malformed: "));
        assert_eq!(refused(type_url::LISTENER, vec![0x12, 9, 0]), "address: the message ends too early");
        assert!(refused(type_url::LISTENER, vec![0x10, 1]).starts_with("address: expected a message, got wire type"));
    }

    #[test]
    fn nesting_is_bounded() {
        let any_url = "type.googleapis.com/google.protobuf.Any";
        let wrap = |inner: Any, _| Any { type_url: any_url.to_owned(), value: inner.encode_to_vec() };
        let deep = (0..200).fold(Any::default(), wrap);
        assert!(refused(&deep.type_url, deep.value).ends_with("nested deeper than 90 messages"));
    }

    #[test]
    fn the_list_is_bounded() {
        let chain = with_stranger(&FilterChain::default());
        let mut value = Vec::new();
        for _ in 0..=MAX_UNKNOWN {
            value.extend([0x1a, 4]);
            value.extend(&chain);
        }
        assert!(refused(type_url::LISTENER, value).ends_with("more than 1000 fields are not supported"));
    }
}
