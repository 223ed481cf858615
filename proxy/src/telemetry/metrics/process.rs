use crate::telemetry::metrics::{Counter, Gauge, Histogram, Metric};

group! {
    /// `server.*`
    ServerStats {
        counters {
            /// Settings of the bootstrap file that have no effect here.
            static_unknown_fields,
            /// ... from the control plane.
            dynamic_unknown_fields,
        }
        gauges {
            /// 1 while requests are taken, 0 while stopping.
            live,
            /// 0 live, 1 draining, 2 not begun, 3 waiting for its configuration.
            state,
            /// Seconds since the start.
            uptime,
            /// Worker threads.
            concurrency,
            /// Connections of clients.
            total_connections,
            /// Bytes in memory, as the kernel counts them.
            memory_physical_size,
        }
        histograms {
            /// From the start to the first request that could be taken.
            initialization_time_ms,
        }
    }
}

group! {
    /// `cluster_manager.*`
    ClusterManagerStats {
        counters {
            /// Clusters that were new.
            cluster_added,
            /// Clusters that changed.
            cluster_modified,
            /// Clusters that went.
            cluster_removed,
        }
        gauges {
            /// Clusters in use.
            active_clusters,
            /// Clusters that wait for endpoints or certificates.
            warming_clusters,
        }
        histograms {}
    }
}

group! {
    /// `control_plane.*`
    ControlPlaneStats {
        counters {
            /// Connections made.
            connects,
            /// Attempts that failed.
            connect_fail,
            /// Streams that ended.
            disconnects,
            /// Resources that were taken.
            update_accepted,
            /// Resources that were refused.
            update_rejected,
        }
        gauges {
            /// 1 while connected.
            connected_state,
            /// Clusters from the server that serve.
            clusters_active,
            /// Clusters from the server that wait for others, or have not come.
            clusters_warming,
            /// Clusters from the server whose last change was refused.
            clusters_refused,
            /// Sets of endpoints from the server that serve.
            endpoints_active,
            /// Sets of endpoints from the server that wait for others, or have not come.
            endpoints_warming,
            /// Sets of endpoints from the server whose last change was refused.
            endpoints_refused,
            /// Listeners from the server that serve.
            listeners_active,
            /// Listeners from the server that wait for others, or have not come.
            listeners_warming,
            /// Listeners from the server whose last change was refused.
            listeners_refused,
            /// Scopes from the server that serve.
            scoped_routes_active,
            /// Scopes from the server that wait for others.
            scoped_routes_warming,
            /// Scopes from the server whose last change was refused.
            scoped_routes_refused,
            /// Route tables from the server that serve.
            routes_active,
            /// Route tables from the server that wait for others, or have not come.
            routes_warming,
            /// Route tables from the server whose last change was refused.
            routes_refused,
            /// Secrets from the server that serve.
            secrets_active,
            /// Secrets from the server that wait for others, or have not come.
            secrets_warming,
            /// Secrets from the server whose last change was refused.
            secrets_refused,
            /// Resources with names of hosts from the server that are used.
            names_active,
            /// Resources with names of hosts from the server that wait.
            names_warming,
            /// Resources with names of hosts from the server whose last change was refused.
            names_refused,
        }
        histograms {
            /// From an answer's arrival until it served.
            update_time_ms,
        }
    }
}

group! {
    /// `dns.*`
    DnsStats {
        counters {
            /// Questions that came by UDP.
            questions_udp,
            /// Questions that came by TCP.
            questions_tcp,
            /// Questions that were answered from what the control plane says.
            answered,
            /// Questions that were passed on to a resolver.
            passed_on,
            /// Questions that no resolver answered.
            passed_on_failure,
            /// What came and is no question that can be answered.
            malformed,
            /// Questions that were refused because too many wait.
            overflow,
            /// Questions of this proxy that came back to it.
            came_back,
            /// What came in the place of an answer and is none.
            unexpected_answers,
            /// Connections that were refused because too many are open.
            connections_overflow,
        }
        gauges {
            /// Questions that wait for a resolver.
            questions_active,
            /// Connections that are open.
            connections_active,
            /// Names that are answered.
            names,
        }
        histograms {
            /// From a question to a resolver's answer.
            resolver_time_ms,
        }
    }
}

group! {
    /// `listener_manager.*`
    ListenerManagerStats {
        counters {
            /// Listeners that were new.
            listener_added,
            /// Listeners that changed.
            listener_modified,
            /// Listeners that went.
            listener_removed,
            /// Listeners that could not be opened.
            listener_create_failure,
            /// Listeners that were opened.
            listener_create_success,
        }
        gauges {
            /// Listeners in use.
            total_listeners_active,
            /// Listeners that finish what they have.
            total_listeners_draining,
            /// Listeners that wait for routes or certificates.
            total_listeners_warming,
            /// Workers have begun.
            workers_started,
        }
        histograms {}
    }
}

group! {
    /// `ninon.*`: what Envoy has no name for.
    NinonStats {
        counters {
            /// Lines of access logs written.
            access_log_written = "access_log.written",
            /// Lines given up because the disk or the reader was too slow, or full.
            access_log_dropped = "access_log.dropped",
            /// Writes that failed.
            access_log_write_failed = "access_log.write_failed",
            /// Times the files were opened again.
            access_log_reopened = "access_log.reopened",
            /// Spans exported.
            trace_spans_exported = "trace.spans_exported",
            /// Spans given up because the collector was too slow or away.
            trace_spans_dropped = "trace.spans_dropped",
            /// Exports that failed.
            trace_export_failed = "trace.export_failed",
            /// Requests to the admin pages.
            admin_requests = "admin.requests",
            /// ... that were refused.
            admin_refused = "admin.refused",
            /// Certificates of its own that the proxy was given.
            identity_issued = "identity.issued",
            /// Attempts to get one that failed.
            identity_failed = "identity.failed",
        }
        gauges {
            /// Bytes of access logs that wait for the writer.
            access_log_waiting_bytes = "access_log.waiting_bytes",
            /// When the proxy's own certificate expires, in seconds since 1970; 0 if it has none.
            identity_expires = "identity.expires_seconds",
        }
        histograms {}
    }
}
