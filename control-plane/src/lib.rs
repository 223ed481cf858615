//! Ninon's control plane: what operators write becomes what proxies serve.
//!
//! The life of a change: `source` or `api` takes an object as it was written and makes it part of the [`model`]; `translate`
//! says what that means for a proxy; a [`snapshot`] holds the resources, encoded once; [`push`] brings each proxy what it
//! lacks over xDS.

/// The HTTP API.
pub mod api;
/// The wiring.
pub mod app;
/// Certificates that say who a workload is.
pub mod authority;
/// The operator's commands.
pub mod cli;
/// Digits.
mod hex;
/// Keys in files.
pub mod keyfile;
/// What exists and what is wanted, as plain data.
pub mod model;
/// Places that there are so many of.
pub mod places;
/// What operators see of connected proxies.
pub mod proxies;
/// Brings every proxy what it lacks.
pub mod push;
/// Workloads that register themselves.
pub mod registration;
/// Flags and environment.
pub mod settings;
/// Resources for a proxy, encoded once.
pub mod snapshot;
/// Where objects come from.
pub mod source;
/// Where objects live.
pub mod store;
/// Tasks with an owner.
pub mod task;
/// Tokens by which workloads join.
pub mod token;
/// From the mesh to resources.
pub mod translate;
