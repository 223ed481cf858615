//! Ninon's control plane: what operators write becomes what proxies serve.
//!
//! The life of a change: `source` or `api` takes an object as it was written and makes it part of the [`model`]; `translate`
//! says what that means for a proxy; a [`snapshot`] holds the resources, encoded once; `push` brings each proxy what it
//! lacks over xDS.

/// What exists and what is wanted, as plain data.
pub mod model;
/// Resources for a proxy, encoded once.
pub mod snapshot;
/// Where objects come from.
pub mod source;
/// Tasks with an owner.
pub mod task;
/// From the mesh to resources.
pub mod translate;
