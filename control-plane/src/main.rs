//! The control plane. It does nothing yet.

fn main() {}
