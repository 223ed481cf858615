//! Ways around policies by the spelling of a path: what the server sees must be what was authorized, however it is spelled.

use crate::arena::{Arena, arena, configured};
use crate::frames::{END_HEADERS, END_STREAM, HEADERS, field, frame, hello, raw_field, request};
use crate::raw::{LONG, ask, flood, statuses};
use std::collections::BTreeSet;

const DENY: &str = "{hcm: {normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD}, \
    http_filters: [{rbac: {rules: {action: DENY, policies: {admin: {permissions: [{url_path: {path: {prefix: /admin, ignore_case: true}}}], \
        principals: [{any: true}]}}}}}]}";
const ALLOW: &str = "{hcm: {normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD}, \
    http_filters: [{rbac: {rules: {action: ALLOW, policies: {public: {permissions: [{url_path: {path: {prefix: /public/}}}], \
        principals: [{any: true}]}}}}}]}";
/// A route for what [`DENY`] denies, without the policy and with it.
const ROUTED: &str = "{hcm: {normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD}, \
    routes: [{match: {prefix: /admin, case_sensitive: false}, direct_response: {status: 418}}, {match: {prefix: /}, route: {cluster: good}}]}";
const ROUTED_AND_DENIED: &str = "{hcm: {normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD}, \
    routes: [{match: {prefix: /admin, case_sensitive: false}, direct_response: {status: 418}}, {match: {prefix: /}, route: {cluster: good}}], \
    http_filters: [{rbac: {rules: {action: DENY, policies: {admin: {permissions: [{url_path: {path: {prefix: /admin, ignore_case: true}}}], \
        principals: [{any: true}]}}}}}]}";

/// Every byte, escaped, wherever it could hide a separator, a dot or a letter of `target`.
fn disguises(before: &str, target: &str) -> BTreeSet<String> {
    let (first, rest) = target.split_at(1);
    let mut paths = BTreeSet::new();
    for byte in 0..=255_u8 {
        for escape in [format!("%{byte:02x}"), format!("%{byte:02X}"), format!("%25{byte:02x}")] {
            paths.extend([
                format!("/{escape}{rest}"),
                format!("/{first}{escape}{rest}"),
                format!("/{escape}{target}"),
                format!("{escape}{target}"),
                format!("/{target}{escape}"),
                format!("{before}/..{escape}{target}"),
                format!("{before}{escape}..{escape}{target}"),
                format!("{before}/{escape}{escape}/{target}"),
                format!("{before}/.{escape}/{target}"),
                format!("{before}/{escape}./{target}"),
                format!("{before}/../{escape}{rest}"),
                format!("{before}//..{escape}/{target}"),
                format!("{before}/..;{escape}/{target}"),
                format!("{before}\\..{escape}{target}"),
                format!("{before}{escape}..\\{target}"),
                format!("{before}/x{escape}\\..\\..\\{target}"),
            ]);
        }
    }
    let spellings = [
        "/.",
        "/..",
        "/../..",
        "/../../..",
        "//..",
        "/./..",
        "/x/../..",
        "/.//..",
        "/..//",
        "/..///.",
        "\\..",
        "\\..\\",
        "/..\\",
        "\\",
        "\\\\",
        "/%2e%2e",
        "/%2e.",
        "/.%2E",
        "%2f..",
        "%5c..",
        "%5c..%5c",
        "%2f%2e%2e%2f",
        "/%252e%252e",
        "%252f..",
        "/..;",
        "/..;a=b",
        "/;/..",
        ";/..",
        "/..%00",
        "/%00/..",
        "/..%ff",
        "/%c0%ae%c0%ae",
        "/%e0%80%ae.",
        "/..%c0%af",
        "/..#",
        "/..?",
        "/%23/..",
        "/%3f/..",
        "/../?/..",
        "/..%20",
        "/.. ",
    ];
    for between in spellings {
        for slash in ["/", "//", "\\", "%2f", "%5c", "", ";/", "/;/", "/./", "/;x=/"] {
            paths.insert(format!("{before}{between}{slash}{target}"));
            paths.insert(format!("{between}{slash}{target}"));
            paths.insert(format!("/{}{slash}{target}", between.trim_start_matches('/')));
        }
    }
    for spelled in [target.to_uppercase(), format!("{}{rest}", first.to_uppercase())] {
        paths.insert(format!("/{spelled}"));
        paths.insert(format!("{before}/../{spelled}"));
    }
    paths
}

/// A path as a careless server may read it: escapes decoded as often as there are any, backslashes taken for slashes, dots resolved,
/// repeated slashes and letter case overlooked.
fn as_read(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let decoded = decode(path.as_bytes());
    let text = String::from_utf8_lossy(&decoded).to_lowercase().replace('\\', "/");
    let mut segments = Vec::new();
    for segment in text.split('/') {
        // A parameter is no part of a dot segment (`..;a=b`); `split` has a first part always.
        match segment.split(';').next().unwrap_or_default() {
            "" if segment.is_empty() => {}
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Once, as a server does.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Paths of the requests that the server got, as it got them.
fn paths_seen(arena: &Arena) -> Vec<String> {
    let requests = arena.seen.requests();
    requests.iter().filter_map(|request| request.lines().next()?.split(' ').nth(1).map(str::to_owned)).collect()
}

/// Sends each path in each form that a target may have. None may be answered by a server that says it did more than refuse.
async fn send_all(port: u16, paths: &BTreeSet<String>) -> usize {
    let mut refused = 0;
    for path in paths {
        let origin = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let absolute = format!("GET http://a{path} HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n");
        for bytes in [origin, absolute] {
            let answer = ask(port, bytes.as_bytes()).await;
            let status = statuses(&answer);
            assert!(matches!(status[..], [200 | 400 | 403 | 404 | 505 | 426]), "{bytes:?} got {answer:?}");
            refused += usize::from(status == [403]);
        }
        let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", path));
        flood(port, &hello(&[]), |_| bytes.clone(), 1, LONG).await;
    }
    refused
}

fn shares(paths: &BTreeSet<String>) -> Vec<BTreeSet<String>> {
    let share = |share| paths.iter().enumerate().filter(|(index, _)| index % SHARES == share).map(|(_, path)| path.clone()).collect();
    (0..SHARES).map(share).collect()
}

fn no_way_around(config: &'static str, before: &'static str, target: &'static str, authorized: fn(&str) -> bool) {
    arena(configured(config), async |arena| {
        let paths = disguises(before, target);
        let port = arena.port;
        let mut clients = tokio::task::JoinSet::new();
        for share in shares(&paths) {
            clients.spawn(async move { send_all(port, &share).await });
        }
        let refused: usize = clients.join_all().await.into_iter().sum();
        println!("{} paths, {refused} refused by the policy", paths.len());
        assert!(refused > 500, "only {refused} were refused: the disguises do not reach the policy");
        let seen = paths_seen(arena);
        assert!(!seen.is_empty(), "something harmless must have gone on");
        let wrong: BTreeSet<_> = seen.iter().filter(|path| !authorized(path)).collect();
        assert!(wrong.is_empty(), "the server got what the policy is against: {wrong:?}");
    });
}

/// The paths that are answered with this status.
fn answered(config: &'static str, status: u16) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let all = &mut found;
    arena(configured(config), async move |arena| {
        let port = arena.port;
        let mut clients = tokio::task::JoinSet::new();
        for share in shares(&disguises("/x", "admin")) {
            clients.spawn(async move {
                let mut found = Vec::new();
                for path in share {
                    let answer = ask(port, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
                    found.extend((statuses(&answer) == [status]).then_some(path));
                }
                found
            });
        }
        all.extend(clients.join_all().await.into_iter().flatten());
    });
    found
}

/// Connections at once.
const SHARES: usize = 8;

#[test]
fn nothing_denied_reaches_the_server() {
    no_way_around(DENY, "/x", "admin", |path| !path.to_lowercase().starts_with("/admin") && !as_read(path).starts_with("/admin"));
}

#[test]
fn only_what_is_allowed_reaches_the_server() {
    no_way_around(ALLOW, "/public", "admin", |path| path.starts_with("/public/") && as_read(path).starts_with("/public/"));
}

#[test]
fn routing_and_policy_see_one_path() {
    let (routed, denied) = (answered(ROUTED, 418), answered(ROUTED_AND_DENIED, 403));
    assert!(routed.len() > 500, "only {} paths are the route's", routed.len());
    let differ: BTreeSet<_> = routed.symmetric_difference(&denied).collect();
    assert!(differ.is_empty(), "the route takes these, or the policy denies them, but not both: {differ:?}");
}

#[test]
fn identity_is_not_what_a_header_says() {
    let config = "{hcm: {use_remote_address: true}, http_filters: [{rbac: {rules: {action: ALLOW, policies: {p: {permissions: [{any: true}], \
        principals: [{authenticated: {principal_name: {prefix: 'spiffe://'}}}, {remote_ip: {address_prefix: 10.0.0.1, prefix_len: 32}}, \
        {direct_remote_ip: {address_prefix: 10.0.0.1, prefix_len: 32}}, {source_ip: {address_prefix: 10.0.0.1, prefix_len: 32}}]}}}}}]}";
    arena(configured(config), async |arena| {
        let claims = [
            "x-forwarded-client-cert: By=spiffe://td/a;URI=spiffe://td/ns/a/sa/b;Hash=00\r\n",
            "x-forwarded-for: 10.0.0.1\r\n",
            "x-forwarded-for: 10.0.0.1, 10.0.0.1\r\nx-envoy-external-address: 10.0.0.1\r\n",
            "x-real-ip: 10.0.0.1\r\nforwarded: for=10.0.0.1\r\nx-envoy-internal: true\r\n",
            "x-forwarded-proto: https\r\nx-forwarded-client-cert: URI=spiffe://td/ns/a/sa/b\r\n",
            "l5d-client-id: b.a.serviceaccount.identity.linkerd.cluster.local\r\n",
        ];
        for claim in claims {
            let answer = ask(arena.port, format!("GET / HTTP/1.1\r\nhost: a\r\n{claim}connection: close\r\n\r\n").as_bytes()).await;
            assert_eq!(statuses(&answer), [403], "{claim:?} got {answer:?}");
        }
        assert!(arena.seen.requests().is_empty());
        arena.logged("403 - rbac_access_denied_matched_policy[none] /").await;
    });
}

#[test]
fn a_host_that_is_no_text_is_not_hidden_from_rules() {
    let config = "{http_filters: [{rbac: {rules: {action: ALLOW, policies: {p: {permissions: [{not_rule: {header: {name: ':authority', \
        string_match: {prefix: inner}}}}], principals: [{any: true}]}}}}}]}";
    arena(configured(config), async |arena| {
        let fields = [field(":method", "GET"), field(":scheme", "http"), field(":path", "/")].concat();
        for host in [&b"inner\xff.example"[..], b"inner.example"] {
            let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[fields.clone(), raw_field(0, b"host", host)].concat());
            flood(arena.port, &hello(&[]), |_| bytes.clone(), 1, LONG).await;
        }
        assert!(arena.seen.requests().is_empty(), "{:?}", arena.seen.requests());
    });
}

#[test]
fn a_denied_request_says_which_policy_and_not_what_it_says() {
    arena(configured(DENY), async |arena| {
        let answer = ask(arena.port, b"GET /admin/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let wanted = "proxy-status: ninon; error=http_request_denied; details=\"policy \\\"admin\\\" denies it\"";
        assert!(answer.contains(wanted), "{answer}");
        assert!(!answer.contains("prefix"), "{answer}");
    });
}
