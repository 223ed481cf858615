use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::*;
use crate::config::address::Address;
use crate::task::OwnedTask;
use crate::telemetry::metrics::HttpStats;

/// The admin page on a real socket.
struct Admin {
    address: SocketAddr,
    state: watch::Sender<ServerState>,
    actions: mpsc::Receiver<Action>,
    stats: Arc<HttpStats>,
    _server: OwnedTask,
}

impl Admin {
    async fn start(access: Access) -> Self {
        let registry = Arc::new(Registry::new());
        let (state, seen) = watch::channel(ServerState::PreInitializing);
        let (wishes, actions) = mpsc::channel(1);
        let stats = registry.http("ingress");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let admin = AdminState {
            registry,
            state: seen,
            log: LogControl::detached("info"),
            started: Instant::now(),
            node: serde_json::json!({ "id": "sidecar-1" }),
            options: serde_json::json!({ "concurrency": 2 }),
            warnings: vec!["admin.access_log: ignored".into()],
            workers: 2,
            connections: Box::new(|| 3),
            config_dump: Box::new(|request| match &request.resource {
                None => Ok(serde_json::json!({ "configs": [], "eds": request.include_endpoints })),
                Some(name) => Err(DumpError::NoResource(name.clone())),
            }),
            client_status: Box::new(|request| Ok([request, b" answered"].concat())),
            refresh: Box::new(|| ()),
            control_plane: Box::new(|| Some("control plane: connected\n".into())),
            clusters: Box::new(Vec::new),
            listeners: Box::new(move || vec![ListenerView { name: "in".into(), addresses: vec![Address::Ip(address)] }]),
            tls: Box::new(Vec::new),
            actions: wishes,
        };
        let server = OwnedTask::spawn(serve(AdminListener::Tcp(listener), Rc::new(admin), access));
        Self { address, state, actions, stats, _server: server }
    }

    /// Sends bytes as they are, and reads until the end.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A server that refuses early may reset what it did not read.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    /// Status and body.
    async fn ask(&self, method: &str, target: &str, more: &str) -> (u16, String) {
        let request = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{more}\r\n", self.address);
        let answer = self.raw(&request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn get(&self, target: &str) -> (u16, String) {
        self.ask("GET", target, "").await
    }
}

/// Runs a test where tasks of one thread can be started.
async fn with_admin(access: Access, test: impl AsyncFnOnce(Admin)) {
    LocalSet::new().run_until(async { test(Admin::start(access).await).await }).await;
}

#[tokio::test]
async fn ready_tells_the_state() {
    with_admin(Access::Full, async |admin| {
        for (state, status, text) in [
            (ServerState::PreInitializing, 503, "PRE_INITIALIZING\n"),
            (ServerState::Initializing, 503, "INITIALIZING\n"),
            (ServerState::Live, 200, "LIVE\n"),
            (ServerState::Draining, 503, "DRAINING\n"),
        ] {
            admin.state.send_replace(state);
            assert_eq!(admin.get("/ready").await, (status, text.into()));
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_are_shown_as_asked_for() {
    with_admin(Access::Full, async |admin| {
        admin.stats.downstream_rq_total.add(7);
        let (status, page) = admin.get("/stats?usedonly&filter=rq_total%24").await;
        assert_eq!((status, page.as_str()), (200, "http.ingress.downstream_rq_total: 7\n"));
        let line = "envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix=\"ingress\"} 7\n";
        for target in ["/stats/prometheus", "/stats?format=prometheus", "/metrics"] {
            let page = admin.get(target).await.1;
            assert!(page.contains(line) && page.contains("envoy_server_concurrency{} 2\n"), "{page}");
        }
        assert!(admin.get("/stats?filter=memory_physical").await.1.split(": ").nth(1).unwrap() > "0");
        let json: Value = serde_json::from_str(&admin.get("/stats?format=json&usedonly&type=Counters").await.1).unwrap();
        assert!(json["stats"].as_array().unwrap().iter().any(|stat| stat["value"] == 7));
        for bad in ["/stats?filter=(", "/stats?format=xml", "/stats?type=x"] {
            assert_eq!(admin.get(bad).await.0, 400, "{bad}");
        }
        assert_eq!(admin.ask("POST", "/reset_counters", "content-length: 0\r\n").await, (200, "OK\n".into()));
        assert_eq!(admin.stats.downstream_rq_total.value(), 0);
    })
    .await;
}

#[tokio::test]
async fn pages_show_what_the_process_is_made_of() {
    with_admin(Access::Full, async |admin| {
        let info: Value = serde_json::from_str(&admin.get("/server_info").await.1).unwrap();
        assert_eq!((&info["state"], &info["node"]["id"]), (&"PRE_INITIALIZING".into(), &"sidecar-1".into()));
        let dump: Value = serde_json::from_str(&admin.get("/config_dump?include_eds").await.1).unwrap();
        assert_eq!(dump["eds"], true);
        assert_eq!(admin.get("/config_dump?resource=x").await, (404, "x not found in config dump\n".into()));
        assert_eq!(admin.get("/stats?filter=total_connections").await.1, "server.total_connections: 3\n");
        assert_eq!(admin.get("/listeners").await.1, format!("in::{}\n", admin.address));
        let listeners: Value = serde_json::from_str(&admin.get("/listeners?format=json").await.1).unwrap();
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        assert_eq!(address["port_value"], admin.address.port());
        assert_eq!(admin.get("/clusters").await, (200, String::new()));
        assert_eq!(admin.get("/warnings").await, (200, "admin.access_log: ignored\n".into()));
        assert!(admin.get("/help").await.1.contains("  /stats/prometheus: "));
        assert!(admin.get("/").await.1.contains("<a href=\"/stats\">"));
        let (status, page) = admin.get("/nothing").await;
        assert!(status == 404 && page.starts_with("invalid path. admin commands are:\n"), "{page}");
        assert_eq!(admin.ask("HEAD", "/ready", "").await, (503, String::new()));
    })
    .await;
}

#[tokio::test]
async fn what_changes_something_wants_post() {
    with_admin(Access::Full, async |mut admin| {
        for target in ["/quitquitquit", "/drain_listeners", "/reset_counters", "/logging?level=debug"] {
            let (status, text) = admin.get(target).await;
            assert_eq!((status, text.as_str()), (405, "Method GET not allowed, POST required.\n"), "{target}");
        }
        assert_eq!(admin.ask("DELETE", "/stats", "").await.0, 405);
        assert!(admin.actions.try_recv().is_err());
        assert_eq!(admin.ask("POST", "/drain_listeners?graceful", "").await.0, 200);
        assert_eq!(admin.actions.try_recv().unwrap(), Action::DrainListeners { graceful: true, inbound_only: false });
        assert_eq!(admin.ask("POST", "/quitquitquit", "").await.0, 200);
        assert_eq!(admin.ask("POST", "/quitquitquit", "").await.0, 503);
        assert_eq!(admin.actions.try_recv().unwrap(), Action::Quit);
    })
    .await;
}

#[tokio::test]
async fn the_log_level_changes_while_running() {
    with_admin(Access::Full, async |admin| {
        assert_eq!(admin.get("/logging").await.1, "active loggers:\n  ninon: info\n");
        for (target, shown) in [
            ("/logging?level=warning", "active loggers:\n  ninon: warn\n"),
            ("/logging?paths=xds:debug", "active loggers:\n  ninon: warn,ninon_proxy::xds=debug\n"),
        ] {
            assert_eq!(admin.ask("POST", target, "").await, (200, shown.into()));
        }
        for target in ["/logging?level=loud", "/logging?nothing"] {
            assert_eq!(admin.ask("POST", target, "").await.0, 400);
        }
    })
    .await;
}

#[tokio::test]
async fn side_doors_are_closed() {
    with_admin(Access::Full, async |mut admin| {
        let quit = |fields: &str| format!("POST /quitquitquit HTTP/1.1\r\nconnection: close\r\n{fields}\r\n");
        for fields in [
            "host: evil.example\r\n",
            "",
            "host: localhost\r\norigin: http://evil.example\r\n",
            "host: localhost\r\nx-forwarded-for: 10.0.0.1\r\n",
            "host: localhost\r\nsec-fetch-site: cross-site\r\n",
        ] {
            let answer = admin.raw(&quit(fields)).await;
            assert!(answer.starts_with("HTTP/1.1 403 ") || answer.starts_with("HTTP/1.1 400 "), "{fields}: {answer}");
        }
        let absolute = "POST http://evil.example/quitquitquit HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert!(admin.raw(absolute).await.starts_with("HTTP/1.1 403 "));
        assert!(admin.actions.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn the_port_for_anybody_shows_health_and_metrics_alone() {
    with_admin(Access::ReadOnly, async |mut admin| {
        admin.state.send_replace(ServerState::Live);
        for target in ["/ready", "/healthz", "/healthz/ready", "/stats", "/stats/prometheus", "/metrics"] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: metrics.example\r\nconnection: close\r\n\r\n");
            assert!(admin.raw(&request).await.starts_with("HTTP/1.1 200 "), "{target}");
            assert_eq!(admin.ask("POST", target, "").await.0, 405, "{target}");
        }
        for target in ["/", "/help", "/config_dump", "/server_info", "/clusters", "/logging?level=debug", "/quitquitquit"] {
            assert_eq!(admin.ask("POST", target, "").await.0, 404, "{target}");
        }
        assert!(admin.actions.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    with_admin(Access::Full, async |admin| {
        let fields = |count: usize, size: usize| (0..count).map(|n| format!("x-{n}: {}\r\n", "a".repeat(size))).collect::<String>();
        for more in [fields(1, 40_000), fields(200, 1)] {
            let request = format!("GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n");
            assert!(admin.raw(&request).await.starts_with("HTTP/1.1 431 "));
        }
        assert_eq!(admin.get("/ready").await.0, 503);
    })
    .await;
}

#[tokio::test]
async fn connections_are_bounded() {
    with_admin(Access::Full, async |admin| {
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            idle.push(TcpStream::connect(admin.address).await.unwrap());
        }
        let mut over = TcpStream::connect(admin.address).await.unwrap();
        assert_eq!(over.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed without an answer");
        drop(idle);
        while admin.raw("GET /healthz HTTP/1.0\r\n\r\n").await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
