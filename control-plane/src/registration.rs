//! Workloads that register themselves: a sidecar that connects with a token is an endpoint while its stream lives.
//!
//! [`claim`](crate::registration::claim) reads what a sidecar says of its workload. [`book`](crate::registration::book) decides what
//! becomes of each registration, and does no I/O; [`registrar`](crate::registration::registrar) keeps it in the store, where a restart
//! and other replicas find it, and tells the mesh.
//!
//! ```text
//!            acknowledges its listeners                 grace is over, or it says goodbye
//!  Joining ------------------------------> Serving ------------------------------> Draining --- drain is over ---> gone
//!                                             ^                                        |
//!                                             +---- comes back, has its listeners -----+
//! ```

/// What becomes of each registration.
pub mod book;
/// What a sidecar says of its workload.
pub mod claim;
/// A registration as it is kept.
pub mod record;
/// Keeps registrations, and tells the mesh.
pub mod registrar;
/// Which control planes live.
pub mod replicas;
