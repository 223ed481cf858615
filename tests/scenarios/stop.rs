use std::time::Duration;

use bytes::Bytes;
use ninon_tests::eventually::eventually;
use ninon_tests::wire::Wire;
use tokio::net::TcpStream;

use crate::world::{LIMIT, Plan, Service, Sidecar, answer, head, request};

/// Sends a request that the service holds back, and waits until it has it.
async fn held(service: &Service, sidecar: &Sidecar) -> Wire {
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap());
    let before = service.seen().len();
    wire.send(&head("GET", "/held", &[])).await;
    assert!(eventually(LIMIT, || async { (service.seen().len() > before).then_some(()) }).await.is_some());
    wire
}

#[tokio::test]
async fn sigterm_lets_requests_finish_and_says_close() {
    let service = Service::start().await;
    let mut sidecar = Sidecar::start(&service, Plan::default()).await;
    let mut busy = held(&service, &sidecar).await;
    let mut idle = Wire::new(TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap());
    assert_eq!(crate::world::exchange(&mut idle, "GET", "/", &[]).await.unwrap().status(), Some(200));
    sidecar.signal("TERM");
    let refused = || async { TcpStream::connect(("127.0.0.1", sidecar.port)).await.err() };
    assert!(eventually(LIMIT, refused).await.is_some(), "connections are refused");
    assert!(!tokio::time::timeout(LIMIT, idle.fill()).await.unwrap(), "an idle connection is closed");
    assert_eq!(sidecar.ask("GET", "/ready").await, (503, "DRAINING\n".into()));
    assert!(sidecar.process.is_running(), "it waits for the request");
    service.release();
    let answer = answer(&mut busy).await.expect("the answer");
    assert_eq!((answer.status(), answer.header("connection"), answer.body.as_slice()), (Some(200), Some("close"), &b"ok"[..]));
    let status = sidecar.process.ended(LIMIT).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", sidecar.process.log());
    let log = std::fs::read_to_string(sidecar.process.folder().join("access.log")).unwrap();
    assert!(log.contains("/held 200 "), "the last line is written: {log}");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the connection ends with the test")]
async fn sigterm_tells_http2_to_go_away_and_lets_streams_finish() {
    let service = Service::start().await;
    let mut sidecar = Sidecar::start(&service, Plan::default()).await;
    let stream = TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://localhost/held").body(()).unwrap();
    let (response, _body) = client.send_request(request, true).unwrap();
    assert!(eventually(LIMIT, || async { (!service.seen().is_empty()).then_some(()) }).await.is_some());
    sidecar.signal("TERM");
    let told = || async { std::future::poll_fn(|cx| client.clone().poll_ready(cx)).await.err() };
    let error = eventually(LIMIT, told).await.expect("no new stream is taken");
    assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR), "{error}");
    service.release();
    let response = tokio::time::timeout(LIMIT, response).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), Bytes::from_static(b"ok"));
    drop(body);
    drop(client);
    tokio::time::timeout(LIMIT, connection).await.expect("the connection ends").unwrap().unwrap();
    assert_eq!(sidecar.process.ended(LIMIT).await.expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let service = Service::start().await;
    let mut sidecar = Sidecar::start(&service, Plan::default()).await;
    let mut busy = held(&service, &sidecar).await;
    sidecar.signal("TERM");
    sidecar.log_holds("draining").await;
    assert!(sidecar.process.ended(Duration::from_millis(300)).await.is_none(), "it waits for the request");
    sidecar.signal("INT");
    let status = sidecar.process.ended(LIMIT).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", sidecar.process.log());
    assert!(answer(&mut busy).await.is_none(), "the request is cut off");
}

#[tokio::test]
async fn the_drain_time_is_kept() {
    let service = Service::start().await;
    let plan = Plan { arguments: vec!["--drain-time".into(), "1".into()], ..Plan::default() };
    let mut sidecar = Sidecar::start(&service, plan).await;
    let mut busy = held(&service, &sidecar).await;
    sidecar.signal("TERM");
    let status = sidecar.process.ended(LIMIT).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(answer(&mut busy).await.is_none());
    assert!(sidecar.process.log().contains("the drain time is over"), "{}", sidecar.process.log());
}

#[tokio::test]
async fn sighup_opens_the_access_log_again() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, Plan::default()).await;
    let (log, old) = (sidecar.process.folder().join("access.log"), sidecar.process.folder().join("access.log.1"));
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    request(sidecar.port, "GET", "/first", &[]).await.unwrap();
    assert!(eventually(LIMIT, || async { lines(&log).contains("/first 200 ").then_some(()) }).await.is_some());
    std::fs::rename(&log, &old).unwrap();
    sidecar.signal("HUP");
    sidecar.page_holds("/stats", "ninon.access_log.reopened: 1\n").await;
    request(sidecar.port, "GET", "/second", &[]).await.unwrap();
    assert!(eventually(LIMIT, || async { lines(&log).contains("/second 200 ").then_some(()) }).await.is_some());
    assert!(!lines(&old).contains("/second"));
}
