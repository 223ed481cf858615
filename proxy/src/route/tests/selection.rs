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
