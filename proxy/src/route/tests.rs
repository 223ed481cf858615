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
        local: address.clone(),
        peer: address.clone(),
        client: address,
        listener: ListenerName::from("edge"),
        tls: None,
        started: Instant::now(),
    }))
}

mod matching {
    use super::*;

    #[test]
    fn paths_are_compared_without_the_query() {
        let of = |path: PathMatch| matching(path);
        let template = PathTemplate { regex: full_match_regex("/v/([^/]+)").unwrap(), variables: vec!["id".to_owned()] };
        for (matcher, path, expected) in [
            (of(PathMatch::Exact("/a".into())), "/a?b", true),
            (of(PathMatch::Exact("/a".into())), "/a/", false),
            (of(PathMatch::Exact("/a".into())), "/A", false),
            (of(PathMatch::Exact("/a".into())), "/a;v=1", false),
            (of(PathMatch::Prefix("/a".into())), "/ab?c", true),
            (of(PathMatch::Prefix("/a?b".into())), "/a?b", false),
            (of(PathMatch::Prefix("/abc".into())), "/ab", false),
            (of(PathMatch::Prefix("/".into())), "*", false),
            (of(PathMatch::SeparatedPrefix("/a".into())), "/a", true),
            (of(PathMatch::SeparatedPrefix("/a".into())), "/a?b", true),
            (of(PathMatch::SeparatedPrefix("/a".into())), "/a/b", true),
            (of(PathMatch::SeparatedPrefix("/a".into())), "/ab", false),
            (of(PathMatch::Regex(full_match_regex("/a.*c").unwrap())), "/abc?d", true),
            (of(PathMatch::Regex(full_match_regex("/a").unwrap())), "/ab", false),
            (of(PathMatch::Template(template.clone())), "/v/7?x", true),
            (of(PathMatch::Template(template)), "/v/7/8", false),
            (of(PathMatch::Connect), "/a", false),
        ] {
            assert_eq!(fits(&matcher, &request(path, &[])), expected, "{matcher:?} {path}");
        }
    }

    #[test]
    fn letter_case_may_not_count_but_for_regular_expressions() {
        let loose = |path| RouteMatch { case_sensitive: false, ..matching(path) };
        assert!(fits(&loose(PathMatch::Exact("/Ab".into())), &request("/aB", &[])));
        assert!(fits(&loose(PathMatch::Prefix("/Ab".into())), &request("/aBc", &[])));
        assert!(fits(&loose(PathMatch::SeparatedPrefix("/Ab".into())), &request("/aB/c", &[])));
        assert!(!fits(&loose(PathMatch::Regex(full_match_regex("/AB").unwrap())), &request("/ab", &[])));
    }

    #[test]
    fn a_connect_without_a_path_fits_a_connect_matcher_alone() {
        assert!(fits(&matching(PathMatch::Connect), &connect(None, None)));
        assert!(fits(&matching(PathMatch::Connect), &connect(Some("connect-udp"), Some("/x"))));
        assert!(!fits(&matching(PathMatch::Connect), &connect(Some("websocket"), Some("/x"))));
        assert!(!fits(&any(), &connect(None, None)));
        assert!(!fits(&matching(PathMatch::Prefix(String::new())), &connect(None, None)));
        assert!(fits(&any(), &connect(Some("websocket"), Some("/x"))));
    }

    #[test]
    fn query_parameters_are_compared_as_written_and_the_first_counts() {
        let wants = |name: &str, value: Option<&str>| {
            let query = QueryMatch { name: name.to_owned(), value: value.map(exact), absent: false };
            RouteMatch { query: vec![query], ..any() }
        };
        for (matcher, path, expected) in [
            (wants("a", Some("b%20c")), "/?a=b%20c", true),
            (wants("a", Some("b c")), "/?a=b%20c", false),
            (wants("a b", None), "/?a%20b", false),
            (wants("d", Some("2")), "/?d=1&d=2", false),
            (wants("d", Some("2")), "/?d=2&d=1", true),
            (wants("e", Some("")), "/?e", true),
            (wants("e", None), "/?x&e=", true),
            (wants("e", None), "/", false),
            (wants("d", Some("2")), "/?x;d=2", false),
            (wants("", None), "/", false),
        ] {
            assert_eq!(fits(&matcher, &request(path, &[])), expected, "{matcher:?} {path}");
        }
        let absent = RouteMatch { query: vec![QueryMatch { name: "f".to_owned(), value: None, absent: true }], ..any() };
        assert!(fits(&absent, &request("/", &[])));
        assert!(!fits(&absent, &request("/?f=1", &[])));
    }

    #[test]
    fn the_first_cookie_of_a_name_counts() {
        let wants = |name: &str, invert| {
            let cookie = CookieMatch { name: name.to_owned(), value: exact("1"), invert };
            RouteMatch { cookies: vec![cookie], ..any() }
        };
        for (matcher, cookies, expected) in [
            (wants("a", false), vec!["a=1"], true),
            (wants("a", false), vec![r#"a="1"; b=1"#], true),
            (wants("a", false), vec!["x=1", "a=1"], true),
            (wants("a", false), vec!["a=2; a=1"], false),
            (wants("a", false), vec!["c=1;a=1 ;b=1"], false),
            (wants("b", false), vec!["c=1; a; b=1"], true),
            (wants("a", false), vec![], false),
            (wants("b", true), vec![], true),
            (wants("b", true), vec!["b=2"], true),
            (wants("b", true), vec!["b=1"], false),
        ] {
            let fields: Vec<_> = cookies.iter().map(|cookie| ("cookie", *cookie)).collect();
            assert_eq!(fits(&matcher, &request("/", &fields)), expected, "{matcher:?} {cookies:?}");
        }
    }

    #[test]
    fn headers_are_compared_value_by_value() {
        let wants = |test: HeaderTest, invert, treat_missing_as_empty| {
            let name = MatchedName::Field(HeaderName::from_static("x-a"));
            RouteMatch { headers: vec![HeaderMatch { name, test, invert, treat_missing_as_empty }], ..any() }
        };
        let one = || HeaderTest::String(exact("1"));
        let range = || HeaderTest::Range { start: 1, end: 5 };
        for (matcher, values, expected) in [
            (wants(one(), false, false), vec!["9", "1"], true),
            (wants(HeaderTest::String(exact("9,1")), false, false), vec!["9", "1"], false),
            (wants(one(), true, false), vec!["9", "1"], false),
            (wants(one(), true, false), vec!["9"], true),
            (wants(one(), true, false), vec![], false),
            (wants(one(), true, true), vec![], true),
            (wants(range(), false, false), vec!["+3"], true),
            (wants(range(), false, false), vec!["5"], false),
            (wants(range(), true, false), vec!["zz"], true),
            (wants(range(), true, false), vec![], false),
            (wants(HeaderTest::Present(true), false, true), vec![], true),
            (wants(HeaderTest::Present(true), true, false), vec![], true),
            (wants(HeaderTest::Present(false), false, false), vec!["1"], false),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("x-a", *value)).collect();
            assert_eq!(fits(&matcher, &request("/", &fields)), expected, "{matcher:?} {values:?}");
        }
    }

    #[test]
    fn certificates_count_only_where_tls_ends_here() {
        let wants = |presented, validated| RouteMatch { tls: Some(TlsMatch { presented, validated }), ..any() };
        let tls = TlsInfo { terminated: true, peer_presented: true, peer_validated: false, ..TlsInfo::default() };
        let fits = |matcher: &RouteMatch, tls: Option<&TlsInfo>| {
            super::super::matches::first_mismatch(matcher, &request("/", &[]), &MatchContext { tls, ..CONTEXT }).is_none()
        };
        assert!(fits(&wants(Some(true), None), Some(&tls)));
        assert!(fits(&wants(Some(true), Some(false)), Some(&tls)));
        assert!(!fits(&wants(None, Some(true)), Some(&tls)));
        assert!(!fits(&wants(Some(true), None), None));
        assert!(fits(&wants(Some(false), None), None));
        let passed_through = TlsInfo { terminated: false, ..tls };
        assert!(!fits(&wants(Some(true), None), Some(&passed_through)));
    }

    #[test]
    fn shares_grpc_and_metadata_count() {
        let share = RouteMatch { fraction: Some(Fraction::per_million(10)), ..any() };
        let drawn = |draw| super::super::matches::first_mismatch(&share, &request("/", &[]), &MatchContext { draw, ..CONTEXT }).is_none();
        assert!(drawn(9));
        assert!(!drawn(10));
        let grpc = RouteMatch { grpc: true, ..any() };
        assert!(fits(&grpc, &request("/", &[("content-type", "application/grpc+proto")])));
        assert!(!fits(&grpc, &request("/", &[("content-type", "application/grpc-web")])));
        assert!(!fits(&RouteMatch { without_metadata: false, ..any() }, &request("/", &[])));
    }
}

mod selection {
    use super::*;

    fn chosen<'a>(table: &'a RouteTable, request: &RequestHead) -> &'a str {
        match select(table, request, &CONTEXT) {
            Selection::Route { route, .. } => &route.name,
            Selection::RedirectToTls { .. } => "(tls)",
            Selection::NoVirtualHost => "(no virtual host)",
            Selection::NoRoute { .. } => "(no route)",
        }
    }

    #[test]
    fn the_first_route_that_fits_is_taken_and_the_others_explained() {
        let grpc = RouteMatch { grpc: true, ..any() };
        let prefix = |text: &str| matching(PathMatch::Prefix(text.to_owned()));
        let routes = vec![route("grpc", grpc), route("a", prefix("/a")), route("b", prefix("/b")), route("rest", any())];
        let table = table(vec![host("v", vec![Domain::Any], routes)]);
        let request = request("/bc", &[]);
        assert_eq!(chosen(&table, &request), "b");
        assert_eq!(
            explain::explain(&table, &request, &CONTEXT).to_string(),
            "route 0 \"grpc\": not gRPC\nroute 1 \"a\": path does not begin with \"/a\"\nroute 2 \"b\": fits\nvirtual host \"v\", route \"b\""
        );
    }

    #[test]
    fn nothing_fits() {
        let only = matching(PathMatch::Exact("/only".to_owned()));
        let routes = table(vec![host("v", vec![Domain::Exact("a.test".to_owned())], vec![route("only", only)])]);
        assert_eq!(chosen(&routes, &request("/", &[])), "(no route)");
        let elsewhere = RequestHead { authority: value("b.test"), ..request("/only", &[]) };
        assert_eq!(chosen(&routes, &elsewhere), "(no virtual host)");
        let explained = explain::explain(&routes, &elsewhere, &CONTEXT);
        assert_eq!(explained.to_string(), "no virtual host serves this host");
    }

    #[test]
    fn a_host_that_asks_for_tls_gets_it_by_the_forwarded_protocol() {
        let with = |require_tls| table(vec![VirtualHost { require_tls, ..host("v", vec![Domain::Any], vec![route("r", any())]) }]);
        let secure = request("/", &[("x-forwarded-proto", "https")]);
        assert_eq!(chosen(&with(RequireTls::All), &request("/", &[])), "(tls)");
        assert_eq!(chosen(&with(RequireTls::All), &secure), "r");
        assert_eq!(chosen(&with(RequireTls::ExternalOnly), &request("/", &[])), "(tls)");
        let table = with(RequireTls::ExternalOnly);
        let inside = select(&table, &request("/", &[]), &MatchContext { internal: true, ..CONTEXT });
        assert!(matches!(inside, Selection::Route { .. }));
    }
}

mod domains {
    use super::*;

    fn index(domains: &[Domain]) -> DomainIndex {
        let hosts: Vec<_> = domains.iter().map(|domain| Arc::new(host(&domain.to_string(), vec![domain.clone()], Vec::new()))).collect();
        DomainIndex::new(&hosts).unwrap()
    }

    fn found(index: &DomainIndex, host: &str, ignore_port: bool) -> String {
        index.find(host, ignore_port).map_or_else(|| "(none)".to_owned(), |host| host.name.clone())
    }

    #[test]
    fn exact_then_longest_suffix_then_longest_prefix_then_any() {
        let index = index(&[
            Domain::Any,
            Domain::Prefix("www.".into()),
            Domain::Prefix("www.shop.".into()),
            Domain::Suffix(".shop.test".into()),
            Domain::Suffix(".test".into()),
            Domain::Suffix("-api.test".into()),
            Domain::Exact("www.shop.test".into()),
            Domain::Exact("[::1]".into()),
        ]);
        for (host, ignore_port, expected) in [
            ("www.shop.test", false, "www.shop.test"),
            ("WWW.Shop.Test", false, "www.shop.test"),
            ("m.shop.test", false, "*.shop.test"),
            (".shop.test", false, "*.test"),
            ("x-api.test", false, "*-api.test"),
            ("www.shop.org", false, "www.shop.*"),
            ("www.other.org", false, "www.*"),
            ("www.", false, "*"),
            ("other.org", false, "*"),
            ("", false, "*"),
            ("www.shop.test:80", false, "www.shop.*"),
            ("www.shop.test:80", true, "www.shop.test"),
            ("www.shop.test:http", true, "www.shop.test"),
            ("[::1]:80", true, "[::1]"),
            ("[::1]", true, "[::1]"),
        ] {
            assert_eq!(found(&index, host, ignore_port), expected, "{host}");
        }
    }

    #[test]
    fn a_domain_belongs_to_one_virtual_host() {
        let hosts = [host("one", vec![Domain::Suffix(".test".into())], vec![]), host("two", vec![Domain::Suffix(".test".into())], vec![])];
        let error = DomainIndex::new(&hosts.map(Arc::new)).unwrap_err();
        assert_eq!(error.to_string(), "domain \"*.test\" of virtual host \"two\" belongs to \"one\" already");
    }

    fn naive(domains: &[Domain], host: &str) -> String {
        let host = host.to_ascii_lowercase();
        let rank = |domain: &Domain| match domain {
            Domain::Exact(name) if *name == host => Some((3, 0)),
            Domain::Suffix(suffix) if host.len() > suffix.len() && host.ends_with(suffix) => Some((2, suffix.len())),
            Domain::Prefix(prefix) if host.len() > prefix.len() && host.starts_with(prefix) => Some((1, prefix.len())),
            Domain::Any => Some((0, 0)),
            Domain::Exact(_) | Domain::Suffix(_) | Domain::Prefix(_) => None,
        };
        let best = domains.iter().filter_map(|domain| Some((rank(domain)?, domain))).max_by_key(|(rank, _)| *rank);
        best.map_or_else(|| "(none)".to_owned(), |(_, domain)| domain.to_string())
    }

    fn any_domain() -> impl Strategy<Value = Domain> {
        let text = "[ab.é]{1,4}";
        prop_oneof![
            4 => text.prop_map(Domain::Exact),
            4 => text.prop_map(Domain::Suffix),
            4 => text.prop_map(Domain::Prefix),
            1 => Just(Domain::Any),
        ]
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_finds(domains in prop::collection::vec(any_domain(), 0..12), host in "[abAB.é]{0,6}") {
            let mut unique: Vec<Domain> = Vec::new();
            for domain in domains {
                if !unique.contains(&domain) {
                    unique.push(domain);
                }
            }
            prop_assert_eq!(found(&index(&unique), &host, false), naive(&unique, &host));
        }
    }
}

mod rewrites {
    use super::*;

    fn regex(pattern: &str, substitution: &'static str) -> RegexRewrite {
        RegexRewrite { pattern: Regex::new(pattern).unwrap(), substitution: Bytes::from_static(substitution.as_bytes()) }
    }

    fn path_after(matched: PathMatch, rewrite: PathRewrite, path: &str) -> String {
        let mut request = request(path, &[]);
        action::rewrite(&Forward { path_rewrite: rewrite, ..forward() }, &matching(matched), false, &mut request);
        assert_eq!(request.headers.get("x-envoy-original-path").unwrap(), path);
        request.path.unwrap().to_string()
    }

    #[test]
    fn a_prefix_replaces_what_was_matched() {
        let to = |text: &str| PathRewrite::Prefix(text.to_owned());
        for (matched, new, path, expected) in [
            (PathMatch::Prefix("/mut".into()), "/new", "/mut/foo?x=1", "/new/foo?x=1"),
            (PathMatch::Prefix("/old".into()), "/", "/old/x", "//x"),
            (PathMatch::Prefix("/old".into()), "/", "/old", "/"),
            (PathMatch::SeparatedPrefix("/sep".into()), "/s2", "/sep/x?q", "/s2/x?q"),
            (PathMatch::Exact("/exact".into()), "/e2", "/exact?a=1", "/e2?a=1"),
            (PathMatch::Regex(full_match_regex("/rx/.*").unwrap()), "/whole", "/rx/aaa?z=1", "/whole?z=1"),
        ] {
            assert_eq!(path_after(matched, to(new), path), expected);
        }
    }

    #[test]
    fn a_pattern_replaces_each_match_but_not_in_the_query() {
        let any = || PathMatch::Prefix("/".to_owned());
        let rewrite = PathRewrite::Regex(regex("a(b+)", "-${1}${0}-"));
        assert_eq!(path_after(any(), rewrite, "/rr/abbxab?ab=1"), "/rr/-bbabb-x-bab-?ab=1");
    }

    #[test]
    fn what_a_pattern_makes_is_a_path() {
        let any = || PathMatch::Prefix("/".to_owned());
        for (substitution, expected) in [("#x", "/%23xb?q"), ("\r\nGET /", "/%0D%0AGET%20/b?q"), ("<", "/<b?q"), ("< ", "/%3C%20b?q")] {
            assert_eq!(path_after(any(), PathRewrite::Regex(regex("a", substitution)), "/ab?q"), expected);
        }
        assert_eq!(path_after(any(), PathRewrite::Regex(regex("^/.*$", "rootless")), "/ab?q"), "/rootless?q");
    }

    #[test]
    fn a_template_takes_variables_by_index() {
        let template =
            PathTemplate { regex: full_match_regex("/tm/([^/]+)/(x/[^/]+)/.*").unwrap(), variables: vec!["a".to_owned(), "b".to_owned()] };
        let literal = |text: &str| TemplatePart::Literal(text.to_owned());
        let parts = vec![literal("/n/"), TemplatePart::Capture(1), literal("/"), TemplatePart::Capture(0)];
        assert_eq!(path_after(PathMatch::Template(template), PathRewrite::Template(parts), "/tm/1/x/2/3/4?q=1"), "/n/x/2/1?q=1");
    }

    #[test]
    fn a_host_comes_from_where_the_route_says_and_before_the_path_changes() {
        for (rewrite, expected) in [
            (HostRewrite::Keep, "a.test"),
            (HostRewrite::Auto, "a.test"),
            (HostRewrite::Literal(value("new.host")), "new.host"),
            (HostRewrite::Header(HeaderName::from_static("x-hh")), "mine"),
            (HostRewrite::Header(HeaderName::from_static("x-none")), "a.test"),
            (HostRewrite::PathRegex(regex("^/mut/(.+)$", "${1}.h")), "foo.h"),
        ] {
            let changed = expected != "a.test";
            let forward = Forward { host_rewrite: rewrite, path_rewrite: PathRewrite::Prefix("/p".into()), ..forward() };
            let mut request = request("/mut/foo?x", &[("x-hh", "mine")]);
            action::rewrite(&forward, &any(), false, &mut request);
            assert_eq!(request.authority, expected);
            assert_eq!(request.headers.get("x-envoy-original-host").is_some(), changed, "{expected}");
            assert_eq!(request.headers.get("x-forwarded-host"), None);
        }
    }

    #[test]
    fn the_old_host_is_listed_once() {
        let forward = Forward { host_rewrite: HostRewrite::Literal(value("new")), append_x_forwarded_host: true, ..forward() };
        for (before, expected) in [
            (vec![], "a.test"),
            (vec!["first"], "first,a.test"),
            (vec!["first", "second"], "first,second,a.test"),
            (vec!["first,a.test"], "first,a.test"),
            (vec!["a.test,first"], "a.test,first,a.test"),
        ] {
            let fields: Vec<_> = before.iter().map(|host| ("x-forwarded-host", *host)).collect();
            let mut request = request("/", &fields);
            action::rewrite(&forward, &any(), false, &mut request);
            let listed: Vec<_> = request.headers.get_all("x-forwarded-host").iter().cloned().collect::<Vec<_>>();
            assert_eq!(listed.last().unwrap(), expected);
        }
    }

    #[test]
    fn the_upstream_is_told_nothing_where_that_is_suppressed() {
        let to = HostRewrite::Literal(value("new"));
        let forward = Forward { host_rewrite: to, path_rewrite: PathRewrite::Prefix("/n".into()), ..forward() };
        let mut request = request("/", &[]);
        action::rewrite(&forward, &any(), true, &mut request);
        assert_eq!((request.authority, request.path.unwrap().as_str()), (value("new"), "/n"));
        assert_eq!(request.headers, HeaderMap::new());
    }

    #[test]
    fn an_endpoints_name_becomes_the_host_where_asked() {
        let auto = Forward { host_rewrite: HostRewrite::Auto, append_x_forwarded_host: true, ..forward() };
        let mut head = request("/", &[]);
        action::rewrite_host(&auto, "ep.host", false, &mut head);
        assert_eq!((head.authority.to_str().unwrap(), &head.headers["x-forwarded-host"]), ("ep.host", &value("a.test")));
        let mut kept = request("/", &[]);
        action::rewrite_host(&forward(), "ep.host", false, &mut kept);
        action::rewrite_host(&auto, "", false, &mut kept);
        assert_eq!(kept.authority, "a.test");
    }
}

mod redirects {
    use super::*;

    fn redirect() -> Redirect {
        Redirect {
            status: StatusCode::MOVED_PERMANENTLY,
            scheme: None,
            host: None,
            port: None,
            path: RedirectPath::Keep,
            strip_query: false,
        }
    }

    #[test]
    fn a_default_port_goes_with_its_scheme() {
        let scheme = |scheme: &str| Redirect { scheme: Some(scheme.to_owned()), ..redirect() };
        let port = || Redirect { port: Some(8443), ..redirect() };
        for (redirect, host, expected) in [
            (scheme("https"), "a.test", "https://a.test/x?y=1"),
            (scheme("https"), "a.test:80", "https://a.test/x?y=1"),
            (scheme("https"), "a.test:443", "https://a.test:443/x?y=1"),
            (scheme("https"), "a.test:8080", "https://a.test:8080/x?y=1"),
            (scheme("https"), "[::1]:80", "https://[::1]/x?y=1"),
            (scheme("https"), "[::1]", "https://[::1]/x?y=1"),
            (scheme("http"), "a.test:80", "http://a.test:80/x?y=1"),
            (port(), "a.test:80", "http://a.test:8443/x?y=1"),
            (port(), "[::1]:80", "http://[::1]:8443/x?y=1"),
            (port(), "[::1]", "http://[::1]:8443/x?y=1"),
            (Redirect { host: Some("new".into()), ..redirect() }, "a.test:80", "http://new/x?y=1"),
        ] {
            let request = RequestHead { authority: value(host), ..request("/x?y=1", &[]) };
            assert_eq!(action::redirect(&redirect, &any(), &request), expected);
        }
        let secure = RequestHead { authority: value("a:443"), ..request("/", &[("x-forwarded-proto", "https")]) };
        assert_eq!(action::redirect(&scheme("http"), &any(), &secure), "http://a/");
    }

    #[test]
    fn a_path_may_bring_its_own_query() {
        let to = |path: RedirectPath, strip_query| Redirect { path, strip_query, ..redirect() };
        let matched = matching(PathMatch::Prefix("/rd/pre".to_owned()));
        let pattern = RegexRewrite { pattern: Regex::new("/rd/(.*)").unwrap(), substitution: Bytes::from_static(b"/y/${1}") };
        for (redirect, expected) in [
            (to(RedirectPath::Keep, false), "/rd/pre/x?a=1"),
            (to(RedirectPath::Keep, true), "/rd/pre/x"),
            (to(RedirectPath::Replace("/np".into()), false), "/np?a=1"),
            (to(RedirectPath::Replace("/np".into()), true), "/np"),
            (to(RedirectPath::Replace("/np?own=1".into()), true), "/np?own=1"),
            (to(RedirectPath::Replace("/np?own=1".into()), false), "/np?own=1"),
            (to(RedirectPath::Prefix("/z".into()), false), "/z/x?a=1"),
            (to(RedirectPath::Prefix("/z?k=1".into()), true), "/z"),
            (to(RedirectPath::Regex(pattern), false), "/y/pre/x?a=1"),
        ] {
            let location = action::redirect(&redirect, &matched, &request("/rd/pre/x?a=1", &[]));
            assert_eq!(location, format!("http://a.test{expected}"));
        }
    }

    #[test]
    fn tls_is_asked_for_at_the_same_place() {
        let request = RequestHead { authority: value("a.test:80"), ..request("/p?x", &[]) };
        assert_eq!(action::https_location(&request), "https://a.test:80/p?x");
    }
}

fn part(target: WeightedTarget) -> Arc<WeightedCluster> {
    Arc::new(WeightedCluster {
        cluster: target,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        host_rewrite: None,
    })
}

mod clusters {
    use super::*;

    fn named(forward: &Forward, request: &RequestHead, draw: u64) -> Result<String, MissingClusterHeader> {
        action::cluster(forward, request, draw).map(|chosen| chosen.name.to_string())
    }

    #[test]
    fn a_header_may_name_it() {
        let header = HeaderName::from_static("x-cluster");
        let forward = Forward { cluster: ClusterChoice::Header(header.clone()), ..forward() };
        assert_eq!(named(&forward, &request("/", &[("x-cluster", "blue")]), 0).unwrap(), "blue");
        assert_eq!(named(&forward, &request("/", &[]), 0), Err(MissingClusterHeader(header.clone())));
        assert_eq!(named(&forward, &request("/", &[("x-cluster", "")]), 0), Err(MissingClusterHeader(header)));
    }

    #[test]
    fn a_split_is_drawn_or_fixed_by_a_header() {
        let to = |name: &str| part(WeightedTarget::Cluster(ClusterName::from(name)));
        let by_header = part(WeightedTarget::Header(HeaderName::from_static("x-cluster")));
        let split = Split::new(vec![(to("one"), 1), (to("two"), 2), (by_header, 1)]).unwrap();
        let clusters = WeightedClusters { split, draw_header: Some(HeaderName::from_static("x-draw")) };
        let forward = Forward { cluster: ClusterChoice::Weighted(Box::new(clusters)), ..forward() };
        let name = |fields: &[(&str, &str)], draw| named(&forward, &request("/", fields), draw).unwrap();
        assert_eq!(name(&[], 0), "one");
        assert_eq!(name(&[], 2), "two");
        assert_eq!(name(&[("x-cluster", "three")], 3), "three");
        assert_eq!(name(&[("x-draw", "1")], 0), "two");
        assert_eq!(name(&[("x-draw", "nonsense")], 4), "one");
        assert_eq!(
            named(&forward, &request("/", &[]), 3).unwrap_err().to_string(),
            "header x-cluster, which names the cluster, is missing"
        );
        assert!(action::cluster(&forward, &request("/", &[]), 0).unwrap().weighted.is_some());
    }
}

mod mutations {
    use super::*;

    fn set(name: &'static str, format: &str, action: HeaderAction) -> HeaderSet {
        HeaderSet {
            target: HeaderTarget::Field(HeaderName::from_static(name)),
            value: Format::parse(format).unwrap(),
            action,
            keep_empty: false,
        }
    }

    fn level(set: Vec<HeaderSet>) -> HeaderMutations {
        HeaderMutations { remove: Vec::new(), set }
    }

    fn apply(mutations: HeaderMutations, fields: &[(&str, &str)]) -> RequestHead {
        let route = Route { request_headers: mutations, ..Arc::unwrap_or_clone(route("r", any())) };
        let mut request = request("/mut?x=1", fields);
        mutate::request(&Levels { route: Some(&route), ..Levels::default() }, Source { info: &info(), hostname: "box" }, &mut request);
        request
    }

    fn all<'a>(request: &'a RequestHead, name: &str) -> Vec<&'a str> {
        request.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    use HeaderAction::{AddIfAbsent, Append, OverwriteIfExists, OverwriteOrAdd};

    #[test]
    fn an_empty_value_is_not_set_unless_asked() {
        let kept = HeaderSet { keep_empty: true, ..set("x-kept", "%REQ(missing)%", Append) };
        let sets = vec![set("x-empty", "%REQ(missing)%", Append), set("x-lit", "", Append), set("x-mix", "a%REQ(missing)%b", Append), kept];
        let request = apply(level(sets), &[]);
        assert_eq!((all(&request, "x-empty"), all(&request, "x-lit")), (vec![], vec![]));
        assert_eq!((all(&request, "x-mix"), all(&request, "x-kept")), (vec!["ab"], vec![""]));
    }

    #[test]
    fn values_see_what_was_there_but_for_what_is_removed() {
        let mutations = HeaderMutations {
            remove: vec![HeaderName::from_static("x-rm")],
            set: vec![
                set("x-first", "F", OverwriteOrAdd),
                set("x-second", "<%REQ(x-first)%>", Append),
                set("x-third", "<%REQ(x-rm)%>", Append),
                set("x-path", "%REQ(:path)% %HOSTNAME% 100%%", Append),
            ],
        };
        let request = apply(mutations, &[("x-first", "orig"), ("x-rm", "gone")]);
        assert_eq!(all(&request, "x-first"), ["F"]);
        assert_eq!(all(&request, "x-second"), ["<orig>"]);
        assert_eq!(all(&request, "x-third"), ["<>"]);
        assert_eq!(all(&request, "x-path"), ["/mut?x=1 box 100%"]);
        assert!(all(&request, "x-rm").is_empty());
    }

    #[test]
    fn overwrites_come_before_additions() {
        let sets = vec![
            set("x-order", "app", Append),
            set("x-order", "ow", OverwriteOrAdd),
            set("x-abs", "1", AddIfAbsent),
            set("x-abs", "2", AddIfAbsent),
            set("x-have", "2", AddIfAbsent),
            set("x-have2", "2", OverwriteIfExists),
            set("x-none", "2", OverwriteIfExists),
        ];
        let request = apply(level(sets), &[("x-order", "orig"), ("x-have", "1"), ("x-have2", "1")]);
        assert_eq!(all(&request, "x-order"), ["ow", "app"]);
        assert_eq!(all(&request, "x-abs"), ["1", "2"]);
        assert_eq!(all(&request, "x-have"), ["1"]);
        assert_eq!(all(&request, "x-have2"), ["2"]);
        assert!(all(&request, "x-none").is_empty());
    }

    /// Each level appends its name to `x-level` and overwrites `x-ow` with it; the response alike.
    fn levels(most_specific_mutations_win: bool) -> (RequestHead, HeaderMap) {
        let of = |name: &str| level(vec![set("x-level", name, Append), set("x-ow", name, OverwriteOrAdd)]);
        let seen = |name: &str| level(vec![set("x-level", name, Append), set("x-sees", "<%RESP(x-level)% %REQ(x-ow)%>", Append)]);
        let route = Route { request_headers: of("route"), response_headers: of("route"), ..Arc::unwrap_or_clone(route("r", any())) };
        let virtual_host = VirtualHost { request_headers: of("vh"), response_headers: seen("vh"), ..host("v", vec![Domain::Any], vec![]) };
        let table = RouteTable { request_headers: of("rc"), response_headers: of("rc"), most_specific_mutations_win, ..table(vec![]) };
        let weighted = WeightedCluster {
            request_headers: of("wc"),
            response_headers: of("wc"),
            host_rewrite: Some(value("wc.host")),
            cluster: WeightedTarget::Cluster(ClusterName::from("u")),
        };
        let levels = Levels { table: Some(&table), virtual_host: Some(&virtual_host), route: Some(&route), weighted: Some(&weighted) };
        let info = info();
        let source = Source { info: &info, hostname: "" };
        let mut head = request("/", &[]);
        mutate::request(&levels, source, &mut head);
        let mut response = HeaderMap::new();
        mutate::response(&levels, source, &head, &mut response);
        (head, response)
    }

    #[test]
    fn the_least_specific_level_wins() {
        let (request, response) = levels(false);
        assert_eq!(all(&request, "x-level"), ["wc", "route", "vh", "rc"]);
        assert_eq!(all(&request, "x-ow"), ["rc"]);
        assert_eq!(request.authority, "wc.host");
        assert!(all(&request, "x-envoy-original-host").is_empty());
        assert_eq!(response["x-ow"], "rc");
        assert_eq!(response["x-sees"], "<wc rc>");
    }

    #[test]
    fn the_most_specific_level_wins_where_asked_but_a_split_stays_first() {
        let (request, response) = levels(true);
        assert_eq!(all(&request, "x-level"), ["wc", "rc", "vh", "route"]);
        assert_eq!(all(&request, "x-ow"), ["route"]);
        assert_eq!(response["x-ow"], "route");
    }

    #[test]
    fn nothing_happens_without_levels() {
        let mut head = request("/", &[("x-a", "1")]);
        mutate::request(&Levels::default(), Source { info: &info(), hostname: "" }, &mut head);
        assert_eq!(head.headers, request("/", &[("x-a", "1")]).headers);
    }
}
