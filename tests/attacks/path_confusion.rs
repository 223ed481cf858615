//! Ways around a route that denies `/admin`, on a listener that normalises paths.

use crate::arena::{arena, configured};
use crate::frames::{END_HEADERS, END_STREAM, HEADERS, frame, hello, request};
use crate::raw::{LONG, ask, flood, statuses};

const CONFIG: &str = "{hcm: {normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD}, \
    routes: [{match: {prefix: /admin}, direct_response: {status: 403}}, {match: {prefix: /}, route: {cluster: good}}]}";

/// All of them are `/admin/x` to a server that decodes.
const DISGUISES: &[&str] = &[
    "/admin/x",
    "//admin/x",
    "/./admin/x",
    "/a/../admin/x",
    "/%61dmin/x",
    "/%2e/admin/x",
    "/a/%2e%2e/admin/x",
    "/a/%2E./admin/x",
    "/%2fadmin/x",
    "/%5cadmin/x",
    "/\\admin/x",
    "/a/..\\admin/x",
    "/a%2f..%2fadmin/x",
    "/a/..//admin/x",
    "/.//admin/x",
    "/../../admin/x",
];

#[test]
fn disguised_paths_are_denied() {
    arena(configured(CONFIG), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for path in DISGUISES {
                    let answer = ask(port, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
                    assert!(matches!(statuses(&answer)[..], [403 | 400]), "{path} got {answer:?}");
                    let absolute = format!("GET http://a{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
                    let answer = ask(port, absolute.as_bytes()).await;
                    assert!(matches!(statuses(&answer)[..], [403 | 400]), "http://a{path} got {answer:?}");
                    let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", path));
                    flood(port, &hello(&[]), |_| bytes.clone(), 1, LONG).await;
                }
            })
            .await;
        assert_eq!(arena.seen.requests(), Vec::<String>::new(), "a disguise was let through");
    });
}

#[test]
fn fragments_are_refused() {
    arena(configured(CONFIG), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for path in ["/x#/../admin", "/admin#", "/#"] {
                    let answer = ask(port, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
                    assert!(matches!(statuses(&answer)[..], [400 | 403]), "{path} got {answer:?}");
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty());
    });
}

#[test]
fn hosts_in_disguise_are_denied() {
    let config = "{hcm: {strip_any_host_port: true, strip_trailing_host_dot: true}, \
        virtual_hosts: [{name: inner, domains: [inner.example], routes: [{match: {prefix: /}, direct_response: {status: 403}}]}, \
                        {name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: good}}]}]}";
    arena(configured(config), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for host in ["inner.example", "INNER.example", "inner.example:80", "inner.example.", "Inner.Example.:443"] {
                    let answer = ask(port, format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes()).await;
                    assert!(matches!(statuses(&answer)[..], [403 | 400]), "{host} got {answer:?}");
                    let absolute = format!("GET http://{host}/ HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n");
                    let answer = ask(port, absolute.as_bytes()).await;
                    assert!(matches!(statuses(&answer)[..], [403 | 400]), "{host} got {answer:?}");
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty(), "{:?}", arena.seen.requests());
    });
}
