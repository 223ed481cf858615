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
