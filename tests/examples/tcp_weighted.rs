//! `examples/tcp-weighted`, tried with plain sockets and, as the bytes may be anything, with curl.

use ninon_tests::example::Example;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
/// With 200 connections, 99.99 % of all runs have between 26 and 76 on a cluster of a quarter.
const CONNECTIONS: usize = 200;

async fn tcp_weighted(service: &str) -> Example {
    Example::new("tcp-weighted").services(&[(service, 9001), (service, 9002)]).await.start().await
}

fn connect(example: &Example) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(example.address(8080)).expect("the listener is there");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit can be set");
    BufReader::new(stream)
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_and_half_closes_pass() {
    let example = tcp_weighted("tcp").await;
    let mut stream = connect(&example);
    let mut hello = String::new();
    stream.read_line(&mut hello).unwrap();
    assert!(hello.starts_with("hello from "), "{hello}");
    stream.get_mut().write_all(b"one\ntwo\n").unwrap();
    stream.get_mut().shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "one\ntwo\n");
    let line = example.log_line(&["in=8", "flags=-"]).await;
    assert!(line.starts_with("present ") || line.starts_with("next "), "{line}");
}

#[tokio::test]
async fn connections_are_split_by_weight() {
    let example = tcp_weighted("tcp").await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..CONNECTIONS {
        let mut hello = String::new();
        connect(&example).read_line(&mut hello).unwrap();
        *counts.entry(hello.trim_end().to_owned()).or_default() += 1;
    }
    let of = |port| counts.get(&format!("hello from {}", example.port(port))).copied().unwrap_or_default();
    assert_eq!(of(9001) + of(9002), CONNECTIONS, "{counts:?}");
    assert!((26..=76).contains(&of(9002)), "{counts:?}");
}

#[tokio::test]
async fn http_passes_as_any_bytes_do() {
    let answer = tcp_weighted("web").await.curl(&["/", "-d", "x"]);
    assert_eq!((answer.status(), answer.header("x-powered-by")), (200, Some("services.py")));
}
