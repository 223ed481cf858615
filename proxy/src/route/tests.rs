mod clusters;
mod domains;
mod matching;
mod mutations;
mod redirects;
mod rewrites;
mod selection;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use proptest::prelude::*;
use regex::bytes::Regex;
use tokio::time::Instant;

use super::action::{self, MissingClusterHeader};
use super::mutate::{self, Levels, Source};
use super::{MatchContext, Selection, explain, select};
use crate::config::address::Address;
use crate::config::filter::FilterOverrides;
use crate::config::format::Format;
use crate::config::headers::{HeaderAction, HeaderMutations, HeaderSet, HeaderTarget};
use crate::config::matcher::{HeaderMatch, HeaderTest, MatchedName, StringMatch, StringPattern, full_match_regex};
use crate::config::route::domains::DomainIndex;
use crate::config::route::{
    ClusterChoice, CookieMatch, Domain, Forward, HostRewrite, PathMatch, PathRewrite, PathTemplate, Priority, QueryMatch, Redirect,
    RedirectPath, RegexRewrite, RequireTls, Route, RouteAction, RouteMatch, RouteTable, RouteTimeouts, Split, TemplatePart, TlsMatch,
    VirtualHost, WeightedCluster, WeightedClusters, WeightedTarget,
};
use crate::config::{ClusterName, Fraction, ListenerName, RouteTableName};
use crate::exchange::{ConnectionInfo, RequestHead, StreamInfo, TlsInfo};

const CONTEXT: MatchContext<'static> = MatchContext { tls: None, internal: false, draw: 0 };

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

fn request(path: &str, fields: &[(&str, &str)]) -> RequestHead {
    let headers = fields.iter().map(|(name, text)| (HeaderName::try_from(*name).unwrap(), value(text)));
    let mut all = HeaderMap::new();
    headers.for_each(|(name, value)| {
        all.append(name, value);
    });
    RequestHead {
        method: Method::GET,
        scheme: value("http"),
        authority: value("a.test"),
        path: Some(path.parse().unwrap()),
        version: Version::HTTP_11,
        upgrade: None,
        headers: all,
    }
}

fn connect(protocol: Option<&str>, path: Option<&str>) -> RequestHead {
    RequestHead {
        method: Method::CONNECT,
        path: path.map(|path| path.parse().unwrap()),
        upgrade: protocol.map(str::to_owned),
        ..request("/", &[])
    }
}

fn matching(path: PathMatch) -> RouteMatch {
    RouteMatch {
        path,
        case_sensitive: true,
        headers: Vec::new(),
        query: Vec::new(),
        grpc: false,
        fraction: None,
        tls: None,
        cookies: Vec::new(),
        without_metadata: true,
    }
}

fn any() -> RouteMatch {
    matching(PathMatch::Prefix("/".to_owned()))
}

fn exact(text: &str) -> StringMatch {
    StringMatch::new(StringPattern::Exact(text.to_owned()), false)
}

fn fits(route: &RouteMatch, request: &RequestHead) -> bool {
    super::matches::first_mismatch(route, request, &CONTEXT).is_none()
}

fn route(name: &str, matches: RouteMatch) -> Arc<Route> {
    Arc::new(Route {
        name: name.to_owned(),
        matches,
        action: RouteAction::NonForwarding,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        replay_limit: None,
        tracing: None,
        operation: None,
        filters: FilterOverrides::default(),
    })
}

fn host(name: &str, domains: Vec<Domain>, routes: Vec<Arc<Route>>) -> VirtualHost {
    VirtualHost {
        name: name.to_owned(),
        domains,
        routes,
        require_tls: RequireTls::No,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        retry: None,
        attempt_count_in_request: false,
        attempt_count_in_response: false,
        replay_limit: None,
        mirrors: Vec::new(),
        filters: FilterOverrides::default(),
    }
}

fn table(hosts: Vec<VirtualHost>) -> RouteTable {
    let virtual_hosts: Vec<_> = hosts.into_iter().map(Arc::new).collect();
    RouteTable {
        name: RouteTableName::from("table"),
        domains: DomainIndex::new(&virtual_hosts).unwrap(),
        virtual_hosts,
        ignore_port: false,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        most_specific_mutations_win: false,
        max_direct_response_body: 4096,
        filters: FilterOverrides::default(),
    }
}

fn forward() -> Forward {
    Forward {
        cluster: ClusterChoice::Cluster(ClusterName::from("shop")),
        cluster_not_found: StatusCode::SERVICE_UNAVAILABLE,
        path_rewrite: PathRewrite::Keep,
        host_rewrite: HostRewrite::Keep,
        append_x_forwarded_host: false,
        timeouts: RouteTimeouts::default(),
        retry: None,
        priority: Priority::Default,
        mirrors: None,
        upgrades: Vec::new(),
        hash: Vec::new(),
    }
}

fn info() -> StreamInfo {
    let address = Address::Ip("127.0.0.1:80".parse::<SocketAddr>().unwrap());
    StreamInfo::new(Rc::new(ConnectionInfo {
        id: 1,
        redirected: false,
        dialled_proxy: false,
        source: None,
        local: address.clone(),
        peer: address.clone(),
        client: address,
        listener: ListenerName::from("edge"),
        tls: None,
        started: Instant::now(),
        termination: std::cell::OnceCell::new(),
    }))
}

fn part(target: WeightedTarget) -> Arc<WeightedCluster> {
    Arc::new(WeightedCluster {
        cluster: target,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        host_rewrite: None,
    })
}
