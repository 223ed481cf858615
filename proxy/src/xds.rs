//! Configuration in: xDS resources of wire types, made into the model of [`crate::config`].
//!
//! This is the only module that names `xds_proto`. Whatever leaves it is valid: each parser refuses what cannot work, with
//! the path of the field and the rule, and says what it accepts without effect.

/// Who may do what.
pub mod access;
/// Access logs and format strings.
pub mod access_log;
/// Addresses, ranges, socket settings.
pub mod address;
/// The bootstrap file.
pub mod bootstrap;
/// The last good configuration, for a start without a server.
pub mod cache;
/// From what is known to what serves.
pub mod cascade;
/// Certificates that an authority signs.
pub mod certificates;
/// Clusters.
pub mod cluster;
/// Where resources come from.
pub mod config_source;
/// Bytes from files or in place.
pub mod data_source;
/// The configuration in use, for `/config_dump`.
pub mod dump;
/// Endpoints.
pub mod endpoint;
/// A service outside that decides about requests.
pub mod ext_authz;
/// Follows a control plane.
pub mod follow;
/// Names of headers, and what is added to and removed from headers.
pub mod headers;
/// HTTP connection managers.
pub mod http;
/// What is wrong with a resource, and where.
pub mod invalid;
/// All resources that are known.
pub mod inventory;
/// Tokens of requests.
pub mod jwt;
/// Listeners and filter chains.
pub mod listener;
/// Matchers of strings, headers and shares.
pub mod matcher;
/// Hosts and their addresses.
pub mod names;
/// Fields outside of the slice.
pub mod outside;
/// Types of resources.
pub mod resource;
/// Files of resources.
pub mod resource_file;
/// Virtual hosts and routes.
pub mod route;
/// Scoped routes.
pub mod scope;
/// The aggregated stream.
pub mod stream;
/// What is asked of a server, and answered to it.
pub mod subscription;
/// TCP proxy.
pub mod tcp;
/// TLS contexts.
pub mod tls;
/// Tracing.
pub mod trace;
/// What a server has sent, as operators see it.
pub mod view;
/// SPIFFE's Workload API.
pub mod workload;

#[cfg(test)]
mod test_wire;
