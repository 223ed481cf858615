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
