//! The proxy follows xDS servers that were not written here. `xds/README.md` tells of them.

/// A server of the official messages that says what a test tells it to.
mod scripted;
