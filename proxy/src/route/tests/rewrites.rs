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
