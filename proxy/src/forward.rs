//! Stage 6: send the request, bring back the answer.

/// Headers of requests and responses that the router owns.
pub mod headers;
/// A body of which the beginning was read.
pub mod refill;
/// A request's body, counted, and kept as far as a retry or a mirror may need it.
pub mod replay;
/// May we try again, with whom, when.
pub mod retry;
/// Bytes both ways.
pub mod tcp;
/// The deadlines of one request.
pub mod timeout;
