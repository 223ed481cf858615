//! Stage 6: send the request, bring back the answer.

/// May we try again, with whom, when.
pub mod retry;
/// A request's body, counted, and kept as far as a retry or a mirror may need it.
pub mod replay;
/// Headers of requests and responses that the router owns.
pub mod headers;
/// Bytes both ways.
pub mod tcp;
/// The deadlines of one request.
pub mod timeout;
