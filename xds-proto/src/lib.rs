//! The slice of xDS v3 that Ninon implements: wire types, their JSON form, and what lies outside of the slice. Beside it are Istio's
//! certificate service and SPIFFE's Workload API, over which the same proxies get their identity, and Istio's table of names for their DNS.
//!
//! The messages are generated from the `.proto` files in `proto/`, which keep the packages, names, numbers and types of
//! Envoy's API: bytes and JSON made for Envoy are understood here, and the other way round. They hold only what Ninon
//! acts on or knowingly ignores, so they are the support matrix. prost drops what it does not know; [`unknown`] and [`json`]
//! find it, so that a field set by an operator is never silently lost.
//!
//! Nothing here stays resident: [`descriptor_pool`] builds the descriptors on demand, and the caller drops them.
//!
//! This crate does no I/O and knows nothing of YAML, of validation rules, or of the proxy's own model.

/// Packing and unpacking `Any`.
pub mod any;
/// Protobuf JSON in and out.
pub mod json;
/// The type URLs of the messages that travel in an `Any`.
pub mod type_url;
/// What a resource sets outside of the slice.
pub mod unknown;

mod fault;
mod path;
mod secrecy;
mod shape;

pub use fault::Fault;
pub use prost_reflect::DescriptorPool;
pub use shape::is_within;

/// Messages nested deeper than this are refused everywhere: less than what prost refuses (100), far more than any
/// configuration needs, and it fits a small stack.
pub const MAX_DEPTH: usize = 90;

/// Descriptors of everything in `proto/` and of the well-known types, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::as_conversions,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code; its documentation is the .proto files"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
}

pub use generated::{envoy, google, istio, spiffe, xds};

/// Builds the descriptors of the slice. Costs milliseconds and some megabytes: build it for a batch of work, drop it after.
///
/// # Errors
/// None in practice: the descriptors are embedded, and a test decodes them.
pub fn descriptor_pool() -> Result<DescriptorPool, prost_reflect::DescriptorError> {
    DescriptorPool::decode(DESCRIPTORS)
}
