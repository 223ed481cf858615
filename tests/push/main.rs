//! Real clients of the control plane's push: Envoy in both dialects, gRPC's own library. What they are to see is made by hand.

/// Envoy.
mod envoy;
/// gRPC's C library, by way of Python.
mod grpc;
/// What clients are to see, and a server of it.
mod world;
