//! What the suites share: real sockets on both sides of a real proxy process, and a comparison of what both saw.
//!
//! The differential suite (`differential.rs`) runs each case of `differential/<topic>/<name>.yaml` against Envoy and against
//! `ninon-proxy`, with the same bootstrap and the same script, and compares. `differential/README.md` tells how to write one.
//! The examples' tests (`examples/main.rs`) run what stands in the folder `examples/` of the repository.

/// A client's trust in any server.
pub mod anybody;
/// A case's configuration fragment becomes a whole Envoy bootstrap.
pub mod bootstrap;
/// What passes a network device.
pub mod capture;
/// Small YAML files that say what to send and what to compare.
pub mod case;
/// Clients: bytes as the case spells them, HTTP/2, raw TCP.
pub mod client;
/// What counts as equal, and the reasons.
pub mod compare;
/// A scripted xDS server.
pub mod control_plane;
/// Resources from the bootstrap file, or from a server.
pub mod delivery;
/// How Envoy is found and started.
pub mod envoy;
/// The only waiting loop.
pub mod eventually;
/// The examples, with real servers and real clients.
pub mod example;
/// What is fuzzed.
pub mod fuzz;
/// Programs that are written in Go.
pub mod go;
/// gRPC's own libraries.
pub mod grpc;
/// Cases with one field of their configuration taken away.
pub mod mutate;
/// Servers that answer with their name.
pub mod named;
/// A name server whose answers change.
pub mod names;
/// Hosts made of network namespaces.
pub mod network;
/// What a client or an upstream saw.
pub mod observe;
/// Ports that nobody else in this run is given.
pub mod ports;
/// Starts a process, and stops it on drop.
pub mod process;
/// How ninon-proxy is found and started.
pub mod proxy;
/// Runs one case against one proxy.
pub mod run;
/// The environment variables of the suites.
pub mod settings;
/// Data planes that follow a control plane.
pub mod sidecar;
/// TCP and Unix sockets alike.
pub mod socket;
/// The differential suite as a program.
pub mod suite;
/// Counts how cases ended.
pub mod tally;
/// Servers that answer, delay, reset and record.
pub mod upstream;
/// HTTP/1 messages as they stand on the wire.
pub mod wire;
/// SPIFFE's Workload API.
pub mod workload_api;
