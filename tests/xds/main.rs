//! Control planes that others wrote, before a real `ninon-proxy` process: `README.md` tells more.

/// Snapshots, served by the cache and the server of go-control-plane.
mod go_control_plane;
