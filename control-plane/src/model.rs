//! What exists and what is wanted: plain data, no I/O, no wire format.

/// What is wrong with an object, and where.
pub mod fault;
/// The kinds of objects.
pub mod kind;
/// Names of objects.
pub mod name;
