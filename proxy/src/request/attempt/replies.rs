//! What the client is told when no endpoint answered.

use http::StatusCode;
use http::header::HeaderValue;

use super::Attempts;
use crate::connect::pool::Failure as ExchangeFailure;
use crate::connect::tcp::{DialCause, TlsFaultKind};
use crate::exchange::ResponseFlag;
use crate::forward::timeout::Expired;
use crate::reply::LocalReply;
use crate::request::live::Live;

/// gRPC's status code.
const DEADLINE_EXCEEDED: u16 = 4;

impl Attempts<'_> {
    pub(super) fn timed_out(&self, live: &mut Live) -> LocalReply {
        self.cluster.stats().upstream_rq_timeout.inc();
        let endpoint = live.info.upstream.host.as_ref().map_or_else(String::new, |host| format!(" by {host}"));
        let explanation = format!("no answer{endpoint} within the route's timeout");
        let reply = LocalReply::new(StatusCode::GATEWAY_TIMEOUT, "upstream request timeout", "response_timeout");
        reply.because(Some(ResponseFlag::UpstreamRequestTimeout), "http_response_timeout", explanation).routed()
    }

    pub(super) fn expired(&self, live: &mut Live, expired: Expired) -> LocalReply {
        match expired {
            Expired::Route | Expired::PerTry | Expired::PerTryIdle => {
                live.body_pending = live.request_ended().is_none();
                self.timed_out(live)
            }
            Expired::Idle | Expired::MaxStream | Expired::Request => stream_expired(live, expired),
        }
    }
}

/// A limit of the listener has passed.
pub(in crate::request) fn stream_expired(live: &mut Live, expired: Expired) -> LocalReply {
    let incomplete = live.request_ended().is_none();
    live.body_pending = incomplete;
    let stats = &live.connection.0.stats;
    match expired {
        Expired::Idle | Expired::Route | Expired::PerTry | Expired::PerTryIdle => {
            stats.downstream_rq_idle_timeout.inc();
            let status = if incomplete { StatusCode::REQUEST_TIMEOUT } else { StatusCode::GATEWAY_TIMEOUT };
            let reply = LocalReply::new(status, "stream timeout", "stream_idle_timeout");
            reply.because(Some(ResponseFlag::StreamIdleTimeout), "connection_read_timeout", "nothing moved on the stream for too long")
        }
        Expired::MaxStream => {
            stats.downstream_rq_max_duration_reached.inc();
            let status = if incomplete { StatusCode::REQUEST_TIMEOUT } else { StatusCode::GATEWAY_TIMEOUT };
            let reply = LocalReply::new(status, "downstream duration timeout", "max_duration_timeout");
            let reply = reply.grpc_status(DEADLINE_EXCEEDED);
            reply.because(Some(ResponseFlag::DurationTimeout), "http_response_timeout", "the stream lived longer than it may")
        }
        Expired::Request => {
            stats.downstream_rq_timeout.inc();
            let reply = LocalReply::new(StatusCode::REQUEST_TIMEOUT, "request timeout", "request_overall_timeout");
            reply.because(None, "http_request_error", "the request did not arrive in whole in time")
        }
    }
}

pub(super) fn bad_request(rule: &'static str) -> LocalReply {
    let reply = LocalReply::new(StatusCode::BAD_REQUEST, "", "invalid_request_target");
    reply.because(Some(ResponseFlag::DownstreamProtocolError), "http_request_error", rule)
}

pub(super) fn give_up(why: &'static str) -> LocalReply {
    let reply = LocalReply::new(StatusCode::INTERNAL_SERVER_ERROR, "", "request_payload_too_large_for_retry");
    reply.because(None, "proxy_internal_error", why)
}

/// RFC 9209, sections 2.3.8, 2.3.13 to 2.3.15 and 2.3.31.
const fn tls_error(kind: TlsFaultKind) -> &'static str {
    match kind {
        TlsFaultKind::Unready => "proxy_configuration_error",
        TlsFaultKind::Lost => "connection_terminated",
        TlsFaultKind::Alert => "tls_alert_received",
        TlsFaultKind::Protocol => "tls_protocol_error",
        TlsFaultKind::Certificate | TlsFaultKind::Name => "tls_certificate_error",
    }
}

/// The answer where the upstream gave none, in Envoy's words.
pub(super) fn failure_reply(failure: &ExchangeFailure, live: &mut Live) -> LocalReply {
    let (reason, flag, error) = match failure {
        ExchangeFailure::Overflow(_) => ("overflow", ResponseFlag::UpstreamOverflow, "connection_limit_reached"),
        ExchangeFailure::Connect(dial) if dial.is_timeout() => {
            ("connection timeout", ResponseFlag::UpstreamConnectionFailure, "connection_timeout")
        }
        ExchangeFailure::Connect(dial) => {
            let error = if let DialCause::Tls(fault) = &dial.cause { tls_error(fault.kind) } else { "connection_refused" };
            ("remote connection failure", ResponseFlag::UpstreamConnectionFailure, error)
        }
        ExchangeFailure::Refused => ("remote refused stream reset", ResponseFlag::UpstreamRemoteReset, "connection_terminated"),
        ExchangeFailure::Reset { .. } => ("remote reset", ResponseFlag::UpstreamRemoteReset, "connection_terminated"),
        ExchangeFailure::Protocol(_) => ("protocol error", ResponseFlag::UpstreamProtocolError, "http_protocol_error"),
        ExchangeFailure::Closed { .. } | ExchangeFailure::RequestBody(_) => {
            ("connection termination", ResponseFlag::UpstreamConnectionTermination, "connection_terminated")
        }
    };
    let transport = if let ExchangeFailure::Connect(dial) = failure { dial.transport_failure() } else { None };
    let body = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
    let why = transport.as_ref().map_or_else(String::new, |transport| format!("|{transport}"));
    let details = format!("upstream_reset_before_response_started{{{reason}{why}}}").replace(' ', "_");
    live.info.upstream.failure = transport;
    let status = if matches!(failure, ExchangeFailure::Protocol(_)) { StatusCode::BAD_GATEWAY } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut reply = LocalReply::new(status, body, details).because(Some(flag), error, failure.to_string()).routed();
    if matches!(failure, ExchangeFailure::Overflow(_)) && !live.connection.0.manager.router.suppress_envoy_headers {
        reply.headers.insert("x-envoy-overloaded", HeaderValue::from_static("true"));
    }
    reply
}
