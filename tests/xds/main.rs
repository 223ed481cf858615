//! The proxy follows xDS servers that were not written here. `xds/README.md` tells of them.

/// Resources in files, instead of a server or beside one.
mod files;
/// Snapshots, served by the cache and the server of go-control-plane.
mod go_control_plane;
/// A server of the official messages that says what a test tells it to.
mod scripted;
