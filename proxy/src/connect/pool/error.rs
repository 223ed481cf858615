use std::fmt;

use http::Request;

use crate::codec::{Body, BodyError, http1, http2};
use crate::connect::pool::UpstreamFacts;
use crate::connect::tcp::DialError;
use crate::upstream::LimitKind;

/// A request that got no answer.
#[derive(Debug)]
pub struct ExchangeError {
    /// Why.
    pub failure: Failure,
    /// The request, whole, where the server has not seen it: it may be sent again, whatever its method.
    pub unsent: Option<Box<Request<Body>>>,
    /// The connection, if there was one.
    pub upstream: Option<UpstreamFacts>,
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A limit of the cluster was reached.
    Overflow(LimitKind),
    /// No connection.
    Connect(DialError),
    /// The server refused the stream unprocessed (HTTP/2).
    Refused,
    /// The connection ended.
    Closed {
        /// The answer had begun.
        answering: bool,
    },
    /// The server reset the stream (HTTP/2).
    Reset {
        /// Its reason.
        reason: h2::Reason,
        /// The answer had begun.
        answering: bool,
    },
    /// The server broke a rule.
    Protocol(&'static str),
    /// The request's own body failed.
    RequestBody(BodyError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow(LimitKind::Connections) => f.write_str("the cluster's limit of connections is reached"),
            Self::Overflow(LimitKind::PendingRequests) => f.write_str("the cluster's limit of waiting requests is reached"),
            Self::Overflow(LimitKind::Requests) => f.write_str("the cluster's limit of requests is reached"),
            Self::Overflow(LimitKind::Retries) => f.write_str("the cluster's limit of retries is reached"),
            Self::Connect(error) => error.fmt(f),
            Self::Refused => f.write_str("the upstream refused the request unprocessed"),
            Self::Closed { answering: false } => f.write_str("the upstream closed the connection before it answered"),
            Self::Closed { answering: true } => f.write_str("the upstream closed the connection within its answer's head"),
            Self::Reset { reason, .. } => write!(f, "the upstream reset the stream: {reason}"),
            Self::Protocol(rule) => write!(f, "the upstream's answer breaks a rule: {rule}"),
            Self::RequestBody(error) => write!(f, "the request's body ended early: {error}"),
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for ExchangeError {}

impl From<Failure> for ExchangeError {
    fn from(failure: Failure) -> Self {
        Self { failure, unsent: None, upstream: None }
    }
}

/// What either codec says of a failed request.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    pub(super) unsent: Option<Request<Body>>,
}

impl From<http1::SendFailed> for Unanswered {
    fn from(failed: http1::SendFailed) -> Self {
        let failure = match failed.error {
            http1::SendError::Closed | http1::SendError::Reset | http1::SendError::Io(_) => {
                Failure::Closed { answering: failed.response_bytes_seen }
            }
            http1::SendError::Malformed(rule) => Failure::Protocol(rule),
            http1::SendError::HeadTooLarge => Failure::Protocol("the head is too large"),
            http1::SendError::RequestBody(error) => Failure::RequestBody(error),
        };
        Self { failure, unsent: failed.unsent }
    }
}

impl From<http2::SendFailed> for Unanswered {
    fn from(failed: http2::SendFailed) -> Self {
        let answering = failed.response_bytes_seen;
        let failure = match failed.error {
            http2::SendError::Refused => Failure::Refused,
            http2::SendError::Reset(reason) => Failure::Reset { reason, answering },
            http2::SendError::Closed | http2::SendError::Io(_) => Failure::Closed { answering },
            http2::SendError::GoAway => Failure::Protocol("the connection breaks a rule of HTTP/2"),
            http2::SendError::Malformed(rule) => Failure::Protocol(rule),
            http2::SendError::RequestBody(error) => Failure::RequestBody(error),
        };
        Self { failure, unsent: failed.unsent }
    }
}
