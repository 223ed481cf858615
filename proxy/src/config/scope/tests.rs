use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

/// A request with these values of `x-scope`.
struct Request(HeaderMap);

impl Request {
    fn new(values: &[&[u8]]) -> Self {
        let name = HeaderName::from_static("x-scope");
        Self(values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap())).collect())
    }
}

impl RequestHeaders for Request {
    fn method(&self) -> &str {
        "GET"
    }
    fn path(&self) -> &str {
        "/a/b"
    }
    fn authority(&self) -> &str {
        "host.example"
    }
    fn scheme(&self) -> &str {
        "http"
    }
    fn fields(&self) -> &HeaderMap {
        &self.0
    }
}

fn fragment(element_separator: &str, extract: Extract) -> KeyFragment {
    let header = MatchedName::Field(HeaderName::from_static("x-scope"));
    KeyFragment { header, element_separator: element_separator.to_owned(), extract }
}

fn element(separator: &str, key: &str) -> Extract {
    Extract::Element { separator: separator.to_owned(), key: key.to_owned() }
}

/// Values of the header, the part that is asked for, and what it is.
type Case = (&'static [&'static [u8]], KeyFragment, Option<&'static [u8]>);

#[test]
fn a_part_of_a_key_is_an_element_of_the_first_value() {
    let cases: &[Case] = &[
        (&[], fragment("", Extract::Index(0)), None),
        (&[b""], fragment("", Extract::Index(0)), Some(b"")),
        (&[b"a;b"], fragment("", Extract::Index(0)), Some(b"a;b")),
        (&[b"a;b"], fragment(";", Extract::Index(0)), Some(b"a")),
        (&[b"a;b"], fragment(";", Extract::Index(1)), Some(b"b")),
        (&[b"a;b"], fragment(";", Extract::Index(2)), None),
        (&[b"a;"], fragment(";", Extract::Index(1)), Some(b"")),
        (&[b"a--b--c"], fragment("--", Extract::Index(2)), Some(b"c")),
        (&[b"a, b"], fragment(",", Extract::Index(1)), Some(b" b")),
        (&[b"a", b"b;c"], fragment(";", Extract::Index(1)), None),
        (&[b"\xff;\xfe"], fragment(";", Extract::Index(1)), Some(b"\xfe")),
        (&[b"a=1;b=2"], fragment(";", element("=", "b")), Some(b"2")),
        (&[b"a=1;b=2"], fragment(";", element("=", "c")), None),
        (&[b"a=1=2"], fragment(";", element("=", "a")), Some(b"1=2")),
        (&[b"a=1;a=2"], fragment(";", element("=", "a")), Some(b"1")),
        (&[b"a"], fragment(";", element("=", "a")), Some(b"")),
        (&[b"b=1;a"], fragment("", element("=", "b")), Some(b"1;a")),
        (&[b"a=1", b"b=2"], fragment(";", element("=", "b")), None),
    ];
    for (values, fragment, expected) in cases {
        assert_eq!(fragment.of(&Request::new(values)), *expected, "{values:?} {fragment:?}");
    }
}

#[test]
fn a_part_of_a_key_may_be_of_a_pseudo_header() {
    let request = Request::new(&[]);
    let of = |header, element_separator: &str, index| {
        let fragment = KeyFragment { header, element_separator: element_separator.to_owned(), extract: Extract::Index(index) };
        fragment.of(&request).map(|part| String::from_utf8_lossy(part).into_owned())
    };
    assert_eq!(of(MatchedName::Authority, ".", 1).as_deref(), Some("example"));
    assert_eq!(of(MatchedName::Path, "/", 2).as_deref(), Some("b"));
    assert_eq!(of(MatchedName::Method, "", 0).as_deref(), Some("GET"));
    assert_eq!(of(MatchedName::Scheme, "", 0).as_deref(), Some("http"));
}

fn scopes(keys: &[&[&str]]) -> Scopes {
    let scope = |key: &&[&str]| Scope {
        name: key.join("+"),
        key: key.iter().map(|part| (*part).to_owned()).collect(),
        table: ScopeTable::Named(RouteTableName::from("r")),
    };
    keys.iter().map(|key| Arc::new(scope(key))).collect()
}

#[test]
fn a_request_has_the_scope_of_its_whole_key() {
    let scopes = scopes(&[&["b", "y"], &["a"], &["b"], &["a", "x"], &["b", "x"], &[""], &["a", "x", "1"]]);
    let find = |parts: usize, value: &str| {
        let key: Vec<_> = (0..parts).map(|index| fragment(";", Extract::Index(index))).collect();
        scopes.find(&key, &Request::new(&[value.as_bytes()])).map(|scope| scope.name.clone())
    };
    for (parts, value, expected) in [
        (1, "a", Some("a")),
        (1, "b;y", Some("b")),
        (1, "", Some("")),
        (1, "c", None),
        (2, "a;x", Some("a+x")),
        (2, "b;y", Some("b+y")),
        (2, "b;z", None),
        (2, "a", None),
        (2, "a;", None),
        (3, "a;x;1", Some("a+x+1")),
        (3, "b;x;1", None),
    ] {
        assert_eq!(find(parts, value).as_deref(), expected, "{parts} parts of {value:?}");
    }
}
