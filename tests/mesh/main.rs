//! The whole: `ninon serve` with real data planes, which are Envoy, `ninon-proxy` and gRPC's own library, and real traffic.

/// What the golden cases show is taken by real data planes.
mod accepted;
/// Somebody else who decides.
mod custom;
/// Names of hosts.
mod dns;
/// Files that are watched.
mod files;
/// gRPC clients without a sidecar.
mod grpc;
/// Certificates, who may have them, and what they may see.
mod identity;
/// Requests all the time, and what became of each.
mod load;
/// What clients report of load.
mod loads;
/// Objects that several tests write.
mod objects;
/// Who may do what, as operators write it.
mod policies;
/// Random changes under load.
mod random;
/// Sidecars that register themselves.
mod registration;
/// Several control planes over one etcd.
mod replicas;
/// A workload with its sidecar.
mod shop;
/// Data planes beside workloads, which follow what operators write.
mod sidecars;
/// Whose tokens are believed, and what they allow.
mod tokens;
/// What all are in: a control plane, its files, its commands.
mod world;
