use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::admin::query::Query;
use crate::admin::{Access, Action, AdminState, ServerState, certificates, clusters, guard, listeners, memory};
use crate::telemetry::exposition::{Kind, PageFormat, Selection, render};
use crate::xds::dump::{DumpError, DumpRequest};

const TEXT: &str = "text/plain; charset=UTF-8";
const HTML: &str = "text/html; charset=UTF-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page. The names are Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Home,
    Help,
    Ready,
    Healthy,
    Stats,
    Prometheus,
    ResetCounters,
    ConfigDump,
    Certificates,
    Clusters,
    Listeners,
    Memory,
    ServerInfo,
    Warnings,
    Logging,
    DrainListeners,
    Quit,
}

/// Path, page, and what it says in the list of pages.
const PAGES: [(&str, Page, &str); 19] = [
    ("/", Page::Home, "the list of pages, to click on"),
    ("/certs", Page::Certificates, "certificates in use, with names and days until they expire"),
    ("/clusters", Page::Clusters, "clusters and their endpoints (format=json)"),
    ("/config_dump", Page::ConfigDump, "the configuration in use (include_eds, resource=...)"),
    ("/drain_listeners", Page::DrainListeners, "take no more connections (POST; graceful, inboundonly)"),
    ("/healthz", Page::Healthy, "200 as long as the process answers"),
    ("/healthz/ready", Page::Ready, "as /ready"),
    ("/help", Page::Help, "this list"),
    ("/listeners", Page::Listeners, "listeners and their addresses (format=json)"),
    ("/logging", Page::Logging, "what is logged; change it (POST; level=debug, paths=xds:debug,tls:info)"),
    ("/memory", Page::Memory, "what is allocated, and what the kernel counts"),
    ("/quitquitquit", Page::Quit, "end the process (POST)"),
    ("/ready", Page::Ready, "200 when requests are taken, else 503, and the state (verbose: the control plane, too)"),
    ("/reset_counters", Page::ResetCounters, "begin all counters at 0 (POST)"),
    ("/server_info", Page::ServerInfo, "version, state, settings"),
    ("/stats", Page::Stats, "metrics (usedonly, filter=regex, type=Counters, format=json|prometheus)"),
    ("/stats/prometheus", Page::Prometheus, "metrics for Prometheus (usedonly, filter=regex)"),
    ("/metrics", Page::Prometheus, "as /stats/prometheus"),
    ("/warnings", Page::Warnings, "what the configuration says without effect"),
];

impl Page {
    fn at(path: &str) -> Option<Self> {
        PAGES.iter().find(|(known, ..)| *known == path).map(|(_, page, _)| *page)
    }

    /// What anybody may see.
    fn is_public(self) -> bool {
        matches!(self, Self::Ready | Self::Healthy | Self::Stats | Self::Prometheus)
    }

    fn changes(self, query: &Query) -> bool {
        match self {
            Self::ResetCounters | Self::DrainListeners | Self::Quit => true,
            Self::Logging => !query.is_empty(),
            Self::Home
            | Self::Help
            | Self::Ready
            | Self::Healthy
            | Self::Stats
            | Self::Prometheus
            | Self::ConfigDump
            | Self::Certificates
            | Self::Clusters
            | Self::Listeners
            | Self::Memory
            | Self::ServerInfo
            | Self::Warnings => false,
        }
    }
}

/// An answer before it is HTTP.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type, body: body.into() }
    }

    fn ok(content_type: &'static str, body: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, content_type, body)
    }

    fn json(value: &Value) -> Self {
        Self::ok(JSON, format!("{value:#}\n"))
    }

    fn refused(status: StatusCode, why: impl std::fmt::Display) -> Self {
        Self::new(status, TEXT, format!("{why}\n"))
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0"));
        // Names come from the configuration, values from anywhere: no browser is to take any of it for a script.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response
    }
}

pub(super) fn answer(state: &AdminState, access: Access, request: &Parts) -> Response<Full<Bytes>> {
    state.registry.ninon.admin_requests.inc();
    let answer = checked(state, access, request);
    if matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED) {
        state.registry.ninon.admin_refused.inc();
    }
    answer.into_response()
}

fn checked(state: &AdminState, access: Access, request: &Parts) -> Answer {
    let query = Query::parse(request.uri.query().unwrap_or(""));
    let page = Page::at(request.uri.path()).filter(|page| access == Access::Full || page.is_public());
    // What anybody may see is also asked for through listeners that route to the admin page, by name.
    if access == Access::Full
        && !page.is_some_and(Page::is_public)
        && let Some(why) = guard::refusal(request)
    {
        return Answer::refused(StatusCode::FORBIDDEN, why);
    }
    let Some(page) = page else {
        return Answer::new(StatusCode::NOT_FOUND, TEXT, format!("invalid path. {}", help(access)));
    };
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    if page.changes(&query) && request.method != Method::POST {
        return Answer::refused(StatusCode::METHOD_NOT_ALLOWED, format_args!("Method {} not allowed, POST required.", request.method));
    }
    // Envoy takes POST everywhere; a port for anybody need not.
    if !reads && (request.method != Method::POST || access == Access::ReadOnly) {
        return Answer::refused(StatusCode::METHOD_NOT_ALLOWED, format_args!("Method {} not allowed.", request.method));
    }
    show(state, access, page, &query)
}

fn show(state: &AdminState, access: Access, page: Page, query: &Query) -> Answer {
    match page {
        Page::Home => Answer::ok(HTML, home()),
        Page::Help => Answer::ok(TEXT, help(access)),
        Page::Ready => ready(state, query.has("verbose")),
        Page::Healthy => Answer::ok(TEXT, "OK\n"),
        Page::Stats => stats(state, query, PageFormat::Text),
        Page::Prometheus => stats(state, query, PageFormat::Prometheus),
        Page::ResetCounters => {
            state.registry.reset_counters();
            Answer::ok(TEXT, "OK\n")
        }
        Page::ConfigDump => config_dump(state, query),
        Page::Certificates => Answer::json(&certificates::json(&(state.tls)(), std::time::SystemTime::now())),
        Page::Clusters if wants_json(query) => Answer::json(&clusters::json(&(state.clusters)())),
        Page::Clusters => Answer::ok(TEXT, clusters::text(&(state.clusters)())),
        Page::Listeners if wants_json(query) => Answer::json(&listeners::json(&(state.listeners)())),
        Page::Listeners => Answer::ok(TEXT, listeners::text(&(state.listeners)())),
        Page::Memory => Answer::json(&memory::json()),
        Page::ServerInfo => Answer::json(&server_info(state)),
        Page::Warnings => Answer::ok(TEXT, state.warnings.iter().map(|warning| format!("{warning}\n")).collect::<String>()),
        Page::Logging => logging(state, query),
        Page::DrainListeners => {
            let (graceful, inbound_only) = (query.has("graceful"), query.has("inboundonly"));
            act(state, Action::DrainListeners { graceful, inbound_only })
        }
        Page::Quit => act(state, Action::Quit),
    }
}

fn wants_json(query: &Query) -> bool {
    query.get("format") == Some("json")
}

fn help(access: Access) -> String {
    let shown = PAGES.iter().filter(|(_, page, _)| access == Access::Full || page.is_public());
    let lines = shown.map(|(path, _, what)| format!("  {path}: {what}\n"));
    std::iter::once(String::from("admin commands are:\n")).chain(lines).collect()
}

fn home() -> String {
    let reading = PAGES.iter().filter(|(_, page, _)| !page.changes(&Query::default()));
    let lines = reading.map(|(path, _, what)| format!("<li><a href=\"{path}\">{path}</a>: {what}</li>\n"));
    let list: String = lines.collect();
    format!("<!DOCTYPE html>\n<title>Ninon</title>\n<h1>Ninon</h1>\n<ul>\n{list}</ul>\n")
}

fn ready(state: &AdminState, verbose: bool) -> Answer {
    let now = *state.state.borrow();
    let status = if now == ServerState::Live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let more = verbose.then(|| (state.control_plane)()).flatten().unwrap_or_default();
    Answer::new(status, TEXT, format!("{}\n{more}", now.name()))
}

fn config_dump(state: &AdminState, query: &Query) -> Answer {
    let resource = query.get("resource").map(str::to_owned);
    match (state.config_dump)(&DumpRequest { include_endpoints: query.has("include_eds"), resource }) {
        Ok(page) => Answer::json(&page),
        Err(error @ DumpError::NoResource(_)) => Answer::refused(StatusCode::NOT_FOUND, error),
        Err(error @ DumpError::Unwritable(_)) => Answer::refused(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn stats(state: &AdminState, query: &Query, default: PageFormat) -> Answer {
    let format = match query.get("format") {
        None | Some("text") => default,
        Some("json") => PageFormat::Json,
        Some("prometheus") => PageFormat::Prometheus,
        Some(_) => return Answer::refused(StatusCode::BAD_REQUEST, "format must be text, json or prometheus"),
    };
    let kind = match query.get("type") {
        None | Some("All") => None,
        Some("Counters") => Some(Kind::Counters),
        Some("Gauges") => Some(Kind::Gauges),
        Some("Histograms") => Some(Kind::Histograms),
        Some(_) => return Answer::refused(StatusCode::BAD_REQUEST, "type must be All, Counters, Gauges or Histograms"),
    };
    let mut selection = Selection::new(format, query.has("usedonly"), kind);
    if let Some(pattern) = query.get("filter") {
        selection = match selection.with_filter(pattern) {
            Ok(selection) => selection,
            Err(error) => return Answer::refused(StatusCode::BAD_REQUEST, error),
        };
    }
    refresh(state);
    let content_type = match format {
        PageFormat::Text => TEXT,
        PageFormat::Json => JSON,
        PageFormat::Prometheus => PROMETHEUS,
    };
    Answer::ok(content_type, render(&state.registry, &selection))
}

/// What is only known when somebody asks.
fn refresh(state: &AdminState) {
    (state.refresh)();
    let server = &state.registry.server;
    let now = *state.state.borrow();
    server.uptime.set(state.started.elapsed().as_secs());
    server.live.set(u64::from(now == ServerState::Live));
    server.state.set(now.number());
    server.total_connections.set(u64::try_from((state.connections)()).unwrap_or(u64::MAX));
    server.concurrency.set(u64::try_from(state.workers).unwrap_or(u64::MAX));
    if let Some(bytes) = memory::resident() {
        server.memory_physical_size.set(bytes);
    }
}

/// `envoy.admin.v3.ServerInfo`.
fn server_info(state: &AdminState) -> Value {
    let uptime = format!("{}s", state.started.elapsed().as_secs());
    json!({
        "version": concat!("ninon-proxy/", env!("CARGO_PKG_VERSION")),
        "state": state.state.borrow().name(),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "hot_restart_version": "disabled",
        "command_line_options": state.options,
        "node": state.node,
    })
}

fn logging(state: &AdminState, query: &Query) -> Answer {
    let filter = match (query.get("level"), query.get("paths")) {
        (Some(level), None) => Some(level.to_owned()),
        (None, Some(paths)) => {
            // Envoy's way to name parts: those of a path are modules here.
            let now = state.log.filter();
            let level = now.split(',').find(|directive| !directive.contains('=')).unwrap_or("info");
            let parts = paths.split(',').map(|part| format!(",ninon_proxy::{}", part.replacen(':', "=", 1)));
            Some(std::iter::once(level.to_owned()).chain(parts).collect())
        }
        (None, None) if query.is_empty() => None,
        _ => return Answer::refused(StatusCode::BAD_REQUEST, "usage: /logging?level=debug or /logging?paths=xds:debug,tls:info"),
    };
    if let Some(Err(error)) = filter.map(|filter| state.log.set(&filter)) {
        return Answer::refused(StatusCode::BAD_REQUEST, error);
    }
    Answer::ok(TEXT, format!("active loggers:\n  ninon: {}\n", state.log.filter()))
}

fn act(state: &AdminState, action: Action) -> Answer {
    tracing::info!(?action, "asked for on the admin page");
    match state.actions.try_send(action) {
        Ok(()) => Answer::ok(TEXT, "OK\n"),
        Err(_) => Answer::refused(StatusCode::SERVICE_UNAVAILABLE, "busy with an earlier request, or stopping"),
    }
}
