//! What exists and what is wanted: plain data, no I/O, no wire format.

/// What routes are attached to, and where they lead.
pub mod attach;
/// Who has to show who they are.
pub mod authentication;
/// Who may do what.
pub mod authorization;
/// Endpoints that somebody else counts.
pub mod endpoints;
/// Hosts outside of the mesh.
pub mod external;
/// What is wrong with an object, and where.
pub mod fault;
/// Who may refer to what in another namespace.
pub mod grant;
/// Services by names of hosts.
pub mod hosts;
/// Who workloads are.
pub mod identity;
/// The kinds of objects.
pub mod kind;
/// What a workload may be that joins by a token.
pub mod limits;
/// All objects together.
pub mod mesh;
/// Names of objects.
pub mod name;
/// Balancing and connections.
pub mod policy;
/// Services that decide in a policy's place.
pub mod provider;
/// Where requests and connections go.
pub mod route;
/// Services and their ports.
pub mod service;
/// Settings of the whole mesh.
pub mod settings;
/// How far an object holds.
pub mod status;
/// Tokens of requests.
pub mod token;
/// Processes and pods.
pub mod workload;
