//! Configuration in: xDS resources of wire types, made into the model of [`crate::config`].
//!
//! This is the only module that names `xds_proto`. Whatever leaves it is valid: each parser refuses what cannot work, with
//! the path of the field and the rule, and says what it accepts without effect.

/// Access logs and format strings.
pub mod access_log;
/// Addresses, ranges, socket settings.
pub mod address;
/// The bootstrap file.
pub mod bootstrap;
/// Clusters.
pub mod cluster;
/// Bytes from files or in place.
pub mod data_source;
/// The configuration in use, for `/config_dump`.
pub mod dump;
/// Endpoints.
pub mod endpoint;
/// Names of headers, and what is added to and removed from headers.
pub mod headers;
/// HTTP connection managers.
pub mod http;
/// What is wrong with a resource, and where.
pub mod invalid;
/// Listeners and filter chains.
pub mod listener;
/// Matchers of strings, headers and shares.
pub mod matcher;
/// Virtual hosts and routes.
pub mod route;
/// TCP proxy.
pub mod tcp;
/// TLS contexts.
pub mod tls;
/// Tracing.
pub mod trace;

#[cfg(test)]
mod test_wire;
