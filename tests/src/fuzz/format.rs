use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Method, Version};
use ninon_proxy::config::ListenerName;
use ninon_proxy::config::address::Address;
use ninon_proxy::config::format::Format;
use ninon_proxy::exchange::{ConnectionInfo, RequestHead, StreamInfo};
use ninon_proxy::telemetry::substitution::{self, Exchange};
use tokio::time::Instant;

/// A client of this machine.
pub(super) fn connection() -> ConnectionInfo {
    let address = Address::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
    ConnectionInfo {
        id: 1,
        local: address.clone(),
        peer: address.clone(),
        client: address,
        listener: ListenerName::from("l"),
        tls: None,
        redirected: false,
        dialled_proxy: false,
        source: None,
        started: Instant::now(),
        termination: std::cell::OnceCell::new(),
    }
}

/// A format that is taken can be written, for a connection and for a request; without `%` it is its text.
pub(super) fn format_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(format) = Format::parse(text) else { return };
    let info = StreamInfo::new(Rc::new(connection()));
    let mut out = Vec::new();
    let mut exchange = Exchange::of_connection(&info, "host");
    substitution::write_bytes(&format, &exchange, &mut out, "-");
    if !text.contains('%') {
        assert_eq!(out, data);
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-a", HeaderValue::from_bytes("caf\u{e9} \"quoted\" \\".as_bytes()).unwrap());
    let request = RequestHead {
        method: Method::GET,
        scheme: HeaderValue::from_static("http"),
        authority: HeaderValue::from_static("a"),
        path: "/x?y=1".parse().ok(),
        version: Version::HTTP_2,
        upgrade: None,
        headers: headers.clone(),
    };
    exchange.request = Some(&request);
    exchange.response = Some(&headers);
    exchange.trailers = Some(&headers);
    exchange.local_reply_body = Some("body");
    out.clear();
    substitution::write_bytes(&format, &exchange, &mut out, "");
}
