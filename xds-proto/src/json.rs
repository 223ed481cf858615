//! Canonical protobuf JSON in and out, `Any` included. Bootstrap files are read and dumps are written by it.
//!
//! Reading collects every fault of a file, each with its path, and apart from those what lies outside the slice
//! ([`Unknown`](crate::unknown::Unknown)): the caller decides whether an unknown field is a warning or an error. It takes what Envoy takes: field
//! names in both spellings, enum values in any case or by number, numbers and booleans in quotes. One thing it refuses
//! that Envoy lets pass: the same field twice, in two spellings.
//!
//! The file is not trusted: nesting is bounded, and nothing panics.

mod nearest;
mod read;
mod scalar;
mod write;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value as Json;

use crate::Fault;
use crate::unknown::Unknown;

/// JSON that is not the message it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// All faults together; at least one.
    pub faults: Vec<Fault>,
    /// What lies outside the slice besides, as far as it was read: a field that is missing may be one that is spelled wrong.
    pub unknown: Vec<Unknown>,
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault], unknown: Vec::new() }
    }
}

/// Reads a message from its JSON form.
///
/// # Errors
/// All faults of the file together: a value of the wrong type, an enum value that does not exist, two members of one
/// choice, nesting deeper than [`crate::MAX_DEPTH`].
pub fn from_json<M>(pool: &DescriptorPool, json: &Json) -> Result<(M, Vec<Unknown>), Unreadable>
where
    M: Message + Name + Default,
{
    let descriptor = descriptor::<M>(pool)?;
    let mut reader = read::Reader::new(pool);
    let dynamic = reader.message(&descriptor, json, 0);
    let (unknown, faults) = reader.finish();
    match dynamic {
        Some(dynamic) if faults.is_empty() => match dynamic.transcode_to() {
            Ok(message) => Ok((message, unknown)),
            Err(error) => Err(whole(error.to_string()).into()),
        },
        _ => Err(Unreadable { faults, unknown }),
    }
}

/// Whether secrets are written out or replaced by a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Key material becomes `[redacted]`, for pages and logs. File names stay.
    Redacted,
    /// As they are, for files that are to be read again.
    Shown,
}

/// Writes a message in its JSON form, with field names as in the `.proto` files.
///
/// An `Any` outside the slice keeps its type URL and has its bytes as base64 under `"value"`.
///
/// # Errors
/// If the message or an `Any` in it is malformed, nested too deep, or outside the slice at the top.
pub fn to_json<M: Message + Name>(pool: &DescriptorPool, message: &M, secrets: Secrets) -> Result<Json, Fault> {
    let mut dynamic = DynamicMessage::new(descriptor::<M>(pool)?);
    dynamic.transcode_from(message).map_err(|error| whole(error.to_string()))?;
    write::Writer::new(pool, secrets).message(&dynamic, false, 0)
}

/// Whether a field holds key material, by its full name.
#[must_use]
pub fn is_sensitive(field: &str) -> bool {
    SENSITIVE.contains(&field)
}

/// As upstream marks them (`udpa.annotations.sensitive`); a test holds the list against the marks.
const SENSITIVE: &[&str] = &[
    "envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials.private_key",
    "envoy.extensions.filters.http.ext_authz.v3.CheckSettings.context_extensions",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secret",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secrets",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.password",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.pkcs12",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key",
    "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys.keys",
];

fn descriptor<M: Name>(pool: &DescriptorPool) -> Result<MessageDescriptor, Fault> {
    let name = M::full_name();
    pool.get_message_by_name(&name).ok_or_else(|| whole(format!("type {name} is not supported")))
}

fn whole(problem: String) -> Fault {
    Fault { path: String::new(), problem }
}

#[cfg(test)]
mod tests;
