use std::cell::OnceCell;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version};
use regex::bytes::Regex;
use tokio::time::Instant;

use super::*;
use crate::config::ListenerName;
use crate::config::matcher::{HeaderMatch, HeaderTest, MatchedName, StringPattern, full_match_regex};
use crate::exchange::{Certificate, RequestPath};

fn address(text: &str) -> Address {
    Address::Ip(text.parse().unwrap())
}

fn connection(tls: Option<TlsInfo>) -> ConnectionInfo {
    ConnectionInfo {
        id: 1,
        local: address("10.0.0.1:8080"),
        redirected: false,
        peer: address("10.9.0.1:1"),
        client: address("10.8.0.1:1"),
        listener: ListenerName::from("l"),
        tls,
        dialled_proxy: false,
        source: None,
        started: Instant::now(),
        termination: OnceCell::new(),
    }
}

fn request(path: Option<&str>, headers: &[(&'static str, &[u8])]) -> RequestHead {
    let fields = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()));
    let mut map = HeaderMap::new();
    fields.for_each(|(name, value)| {
        map.append(name, value);
    });
    RequestHead {
        method: if path.is_some() { Method::GET } else { Method::CONNECT },
        scheme: HeaderValue::from_static("http"),
        authority: HeaderValue::from_static("a.example"),
        path: path.map(|path| RequestPath::from_bytes(path.as_bytes()).unwrap()),
        version: Version::HTTP_11,
        upgrade: None,
        headers: map,
    }
}

fn exact(text: &str) -> StringMatch {
    StringMatch::new(StringPattern::Exact(text.to_owned()), false)
}

fn regex(pattern: &str) -> StringMatch {
    let regex: Regex = full_match_regex(pattern).unwrap();
    StringMatch::new(StringPattern::Regex(regex), false)
}

fn header(name: &'static str, wanted: StringMatch, invert: bool) -> Condition {
    let name = MatchedName::Field(HeaderName::from_static(name));
    Condition::Header(HeaderMatch { name, test: HeaderTest::String(wanted), invert, treat_missing_as_empty: false })
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn policy(name: &str, permission: Condition, principal: Condition) -> Policy {
    Policy { name: name.to_owned(), permissions: vec![permission], principals: vec![principal] }
}

fn rules(action: Action, permission: Condition) -> Rules {
    Rules { action, policies: vec![policy("p", permission, Condition::Any)] }
}

fn allowed(rules: &Rules, request: &RequestHead) -> bool {
    let connection = connection(None);
    decide(rules, &Subject { request: Some(request), ..Subject::of_connection(&connection) }).allowed
}

/// Whether a condition fits a connection.
fn holds(condition: Condition, connection: &ConnectionInfo) -> bool {
    decide(&rules(Action::Allow, condition), &Subject::of_connection(connection)).allowed
}

#[test]
fn what_no_policy_fits_is_what_the_action_is_not() {
    let connection = connection(None);
    let of = |action| decide(&Rules { action, policies: Vec::new() }, &Subject::of_connection(&connection)).allowed;
    assert_eq!([Action::Allow, Action::Deny, Action::Log].map(of), [false, true, true]);
    let of = |action| decide(&rules(action, Condition::Any), &Subject::of_connection(&connection)).allowed;
    assert_eq!([Action::Allow, Action::Deny, Action::Log].map(of), [true, false, true]);
}

#[test]
fn the_first_policy_that_fits_is_told() {
    let none = not(Condition::Any);
    let policies = vec![
        policy("a", none.clone(), Condition::Any),
        policy("b", Condition::Any, none),
        policy("c d", Condition::Any, Condition::Any),
        policy("e", Condition::Any, Condition::Any),
    ];
    let rules = Rules { action: Action::Deny, policies };
    let decision = decide(&rules, &Subject { request: None, ..Subject::of_connection(&connection(None)) });
    assert_eq!(decision, Decision { allowed: false, policy: Some("c d") });
    assert_eq!(decision.details(), "rbac_access_denied_matched_policy[c_d]");
    assert_eq!(Decision { allowed: false, policy: None }.details(), "rbac_access_denied_matched_policy[none]");
}

#[test]
fn sets_and_opposites() {
    let (yes, no) = (Condition::Any, not(Condition::Any));
    let holds = |condition| holds(condition, &connection(None));
    assert!(holds(Condition::All(vec![yes.clone(), yes.clone()])));
    assert!(!holds(Condition::All(vec![yes.clone(), no.clone()])));
    assert!(holds(Condition::OneOf(vec![no.clone(), yes.clone()])));
    assert!(!holds(Condition::OneOf(vec![no.clone(), no.clone()])));
    assert!(holds(not(no)));
    assert!(!holds(not(yes)));
}

#[test]
fn a_header_that_is_missing_fits_nothing_inverted_or_not() {
    let plain = request(Some("/"), &[]);
    for invert in [false, true] {
        assert!(!allowed(&rules(Action::Allow, header("x-a", exact("1"), invert)), &plain));
    }
    assert!(allowed(&rules(Action::Allow, not(header("x-a", exact("1"), false))), &plain));
}

#[test]
fn of_several_values_each_counts() {
    let twice = request(Some("/"), &[("x-a", b"1"), ("x-a", b"2")]);
    assert!(allowed(&rules(Action::Allow, header("x-a", exact("2"), false)), &twice));
    assert!(!allowed(&rules(Action::Allow, header("x-a", exact("1,2"), false)), &twice));
    assert!(!allowed(&rules(Action::Allow, header("x-a", exact("2"), true)), &twice));
}

#[test]
fn the_query_is_no_part_of_the_path_and_a_connect_has_none() {
    let admin = || Condition::Path(exact("/admin"));
    assert!(!allowed(&rules(Action::Deny, admin()), &request(Some("/admin?a=/b"), &[])));
    assert!(allowed(&rules(Action::Deny, admin()), &request(Some("/b?/admin"), &[])));
    let connect = request(None, &[]);
    assert!(!allowed(&rules(Action::Allow, Condition::Path(regex(".*"))), &connect));
    assert!(allowed(&rules(Action::Allow, not(admin())), &connect));
    let path = |invert| {
        let test = HeaderTest::String(exact("/admin"));
        Condition::Header(HeaderMatch { name: MatchedName::Path, test, invert, treat_missing_as_empty: false })
    };
    assert!(!allowed(&rules(Action::Allow, path(true)), &connect));
}

#[test]
fn bytes_that_are_no_text_never_help_a_client() {
    let odd = request(Some("/"), &[("x-role", b"\xffadmin")]);
    let admin = || header("x-role", regex(".*admin.*"), false);
    assert!(!allowed(&rules(Action::Deny, admin()), &odd), "denied though it cannot be told");
    assert!(!allowed(&rules(Action::Allow, admin()), &odd));
    assert!(!allowed(&rules(Action::Allow, not(admin())), &odd), "the opposite cannot be told either");
    assert!(!allowed(&rules(Action::Allow, header("x-role", regex("admin"), true)), &odd));
    assert!(!allowed(&rules(Action::Deny, not(admin())), &odd));
    // What is certain does not depend on it.
    assert!(allowed(&rules(Action::Allow, Condition::OneOf(vec![admin(), Condition::Any])), &odd));
    assert!(allowed(&rules(Action::Deny, Condition::All(vec![admin(), not(Condition::Any)])), &odd));
    // Bytes are compared as bytes.
    assert!(!allowed(&rules(Action::Deny, header("x-role", exact("admin"), true)), &odd));
    let doubtful = Policy { principals: vec![not(Condition::Any)], ..policy("p", admin(), Condition::Any) };
    assert!(allowed(&Rules { action: Action::Deny, policies: vec![doubtful] }, &odd), "no principal fits, whatever is done");
}

#[test]
fn three_addresses_of_a_client_are_told_apart() {
    let range = |text: &str| Cidr::new(text.parse().unwrap(), 32).unwrap();
    let connection = connection(None);
    let remote = address("10.7.0.1:0");
    let subject = Subject { remote: &remote, ..Subject::of_connection(&connection) };
    let holds = |condition| decide(&rules(Action::Allow, condition), &subject).allowed;
    assert!(holds(Condition::DirectRemoteIp(range("10.9.0.1"))));
    assert!(holds(Condition::SourceIp(range("10.8.0.1"))));
    assert!(holds(Condition::RemoteIp(range("10.7.0.1"))));
    assert!(!holds(Condition::RemoteIp(range("10.8.0.1"))));
    assert!(holds(Condition::DestinationIp(range("10.0.0.1"))));
    assert!(!holds(Condition::DestinationIp(range("10.0.0.2"))));
}

#[test]
fn the_end_of_a_port_range_is_outside() {
    let connection = connection(None);
    assert!(holds(Condition::DestinationPort(8080..8081), &connection));
    assert!(!holds(Condition::DestinationPort(8000..8080), &connection));
    let unix = ConnectionInfo { local: Address::Unix("/a".into()), client: Address::Unix("/b".into()), ..connection };
    assert!(!holds(Condition::DestinationPort(0..65536), &unix));
    assert!(!holds(Condition::SourceIp(Cidr::new("0.0.0.0".parse().unwrap(), 0).unwrap()), &unix));
}

#[test]
fn identity_is_one_of_the_names_of_a_verified_certificate() {
    let verified = TlsInfo {
        terminated: true,
        peer_presented: true,
        peer_validated: true,
        peer: Some(Box::new(Certificate {
            uris: vec!["spiffe://td/ns/a/sa/b".to_owned()],
            hosts: vec!["b.example".to_owned()],
            subject: "CN=b".to_owned(),
            ..Certificate::default()
        })),
        ..TlsInfo::default()
    };
    let is = |name: &str, tls: &TlsInfo| holds(Condition::Authenticated(Some(exact(name))), &connection(Some(tls.clone())));
    for name in ["spiffe://td/ns/a/sa/b", "b.example", "CN=b"] {
        assert!(is(name, &verified), "{name}");
    }
    assert!(!is("spiffe://td/ns/a/sa/c", &verified));
    let anyone = |tls: Option<TlsInfo>| holds(Condition::Authenticated(None), &connection(tls));
    assert!(anyone(Some(verified.clone())));
    assert!(!anyone(None));
    for nobody in [
        TlsInfo { terminated: true, ..TlsInfo::default() },
        TlsInfo { terminated: false, ..verified.clone() },
        TlsInfo { peer_validated: false, ..verified },
    ] {
        assert!(!anyone(Some(nobody.clone())), "{nobody:?}");
        assert!(!is("", &nobody) && !is("CN=b", &nobody), "{nobody:?}");
    }
}

#[test]
fn a_client_that_asks_for_no_server_name_asks_for_an_empty_one() {
    let asked = |sni: Option<&str>| TlsInfo { sni: sni.map(str::to_owned), ..TlsInfo::default() };
    let name = || Condition::ServerName(exact("a.example"));
    assert!(holds(name(), &connection(Some(asked(Some("a.example"))))));
    assert!(!holds(name(), &connection(Some(asked(None)))));
    assert!(holds(Condition::ServerName(regex("")), &connection(None)));
}
