use crate::telemetry::metrics::{Counter, Gauge, Histogram, Metric, StatusCodes};

group! {
    /// `http.<stat_prefix>.*`
    HttpStats {
        counters {
            /// Connections taken.
            downstream_cx_total,
            /// ... that spoke HTTP/1.
            downstream_cx_http1_total,
            /// ... that spoke HTTP/2.
            downstream_cx_http2_total,
            /// ... with TLS.
            downstream_cx_ssl_total,
            /// ... that changed to another protocol.
            downstream_cx_upgrades_total,
            /// Connections closed.
            downstream_cx_destroy,
            /// Connections closed while we, or their listener, were draining.
            downstream_cx_drain_close,
            /// Connections that lived too long.
            downstream_cx_max_duration_reached,
            /// Connections that broke the protocol.
            downstream_cx_protocol_error,
            /// Requests begun.
            downstream_rq_total,
            /// ... by HTTP/1.
            downstream_rq_http1_total,
            /// ... by HTTP/2.
            downstream_rq_http2_total,
            /// Requests answered, whatever the status.
            downstream_rq_completed,
            /// Answers 1xx.
            downstream_rq_1xx,
            /// Answers 2xx.
            downstream_rq_2xx,
            /// Answers 3xx.
            downstream_rq_3xx,
            /// Answers 4xx.
            downstream_rq_4xx,
            /// Answers 5xx.
            downstream_rq_5xx,
            /// Requests that the client reset.
            downstream_rq_rx_reset,
            /// Requests that we reset.
            downstream_rq_tx_reset,
            /// Requests with a head over the limit.
            downstream_rq_too_large,
            /// Upgrades refused.
            downstream_rq_ws_on_non_ws_route,
            /// Requests that took too long to come.
            downstream_rq_timeout,
            /// Heads that took too long to come.
            downstream_rq_header_timeout,
            /// Requests on which nothing moved for too long.
            downstream_rq_idle_timeout,
            /// Requests that lived too long.
            downstream_rq_max_duration_reached,
            /// Redirected to their path in one form.
            downstream_rq_redirected_with_normalized_path,
            /// Answers given by the route itself.
            rq_direct_response,
            /// Redirects.
            rq_redirect,
            /// Requests that reached the router.
            rq_total,
            /// Answers cut off after they had begun.
            rq_reset_after_downstream_response_started,
            /// Requests without a route.
            no_route,
            /// Requests whose cluster does not exist.
            no_cluster,
            /// Traced by chance.
            tracing_random_sampling = "tracing.random_sampling",
            /// Traced because a service asked for it.
            tracing_service_forced = "tracing.service_forced",
            /// Traced because the client asked for it.
            tracing_client_enabled = "tracing.client_enabled",
            /// Not traced.
            tracing_not_traceable = "tracing.not_traceable",
        }
        gauges {
            /// Connections open.
            downstream_cx_active,
            /// HTTP/1 connections open.
            downstream_cx_http1_active,
            /// HTTP/2 connections open.
            downstream_cx_http2_active,
            /// Connections open with TLS.
            downstream_cx_ssl_active,
            /// Connections open that changed to another protocol.
            downstream_cx_upgrades_active,
            /// Requests in flight.
            downstream_rq_active,
        }
        histograms {
            /// From a request's beginning to its end.
            downstream_rq_time,
            /// Life of connections.
            downstream_cx_length_ms,
        }
        codes {
            /// Answers by status.
            downstream_rq,
        }
    }
}

impl HttpStats {
    /// Counts an answer in its class and by its code.
    pub fn count_answer(&self, status: http::StatusCode) {
        self.downstream_rq_completed.inc();
        self.downstream_rq.inc(status);
        match status.as_u16() / 100 {
            1 => self.downstream_rq_1xx.inc(),
            2 => self.downstream_rq_2xx.inc(),
            3 => self.downstream_rq_3xx.inc(),
            4 => self.downstream_rq_4xx.inc(),
            _ => self.downstream_rq_5xx.inc(),
        }
    }
}

group! {
    /// `listener.<address>.*`
    ListenerStats {
        counters {
            /// Connections taken.
            downstream_cx_total,
            /// Connections closed.
            downstream_cx_destroy,
            /// Connections refused by the listener's limit.
            downstream_cx_overflow,
            /// Connections refused by the limit of all listeners.
            downstream_global_cx_overflow,
            /// Connections that took too long before a chain was chosen.
            downstream_pre_cx_timeout,
            /// Connections for which no chain was found.
            no_filter_chain_match,
            /// TLS handshakes done.
            ssl_handshake = "ssl.handshake",
            /// TLS handshakes failed, other than for the client's certificate.
            ssl_connection_error = "ssl.connection_error",
            /// TLS handshakes done without a certificate of the client.
            ssl_no_certificate = "ssl.no_certificate",
            /// Clients without a certificate where one is required.
            ssl_fail_verify_no_cert = "ssl.fail_verify_no_cert",
            /// Clients whose certificate could not be verified.
            ssl_fail_verify_error = "ssl.fail_verify_error",
            /// Clients whose certificate is for somebody who is not accepted.
            ssl_fail_verify_san = "ssl.fail_verify_san",
            /// Connections of mutual TLS that outlived a certificate, and were told to go.
            ssl_certificate_expired = "ssl.certificate_expired",
            /// Connections of mutual TLS whose client is not accepted any more, and that were closed.
            ssl_certificate_revoked = "ssl.certificate_revoked",
        }
        gauges {
            /// Connections open.
            downstream_cx_active,
        }
        histograms {
            /// Life of connections.
            downstream_cx_length_ms,
        }
    }
}

group! {
    /// `tcp.<stat_prefix>.*`
    TcpStats {
        counters {
            /// Connections taken.
            downstream_cx_total,
            /// Connections without a cluster.
            downstream_cx_no_route,
            /// Bytes from clients.
            downstream_cx_rx_bytes_total,
            /// Bytes to clients.
            downstream_cx_tx_bytes_total,
            /// Connections on which nothing moved for too long.
            idle_timeout,
            /// Connections that lived too long.
            max_downstream_connection_duration,
        }
        gauges {
            /// Connections open.
            downstream_cx_active,
        }
        histograms {}
    }
}
