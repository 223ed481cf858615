use super::*;

fn redirect() -> Redirect {
    Redirect { status: StatusCode::MOVED_PERMANENTLY, scheme: None, host: None, port: None, path: RedirectPath::Keep, strip_query: false }
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
