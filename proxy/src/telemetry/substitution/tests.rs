use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tokio::time::Instant;

use super::{Exchange, json_line, log_line, render, write_bytes};
use crate::config::access_log::{JsonValue, LogFormat};
use crate::config::address::Address;
use crate::config::format::{DEFAULT_ACCESS_LOG, Format};
use crate::config::{ClusterName, ListenerName};
use crate::exchange::{Certificate, ConnectionInfo, RequestHead, ResponseFlag, StreamInfo, TlsInfo};

fn ip(text: &str) -> Address {
    Address::Ip(text.parse::<SocketAddr>().unwrap())
}

fn info() -> StreamInfo {
    let connection = ConnectionInfo {
        id: 7,
        redirected: false,
        dialled_proxy: false,
        source: None,
        local: ip("10.0.0.1:80"),
        peer: ip("10.0.0.9:5000"),
        client: ip("10.0.0.9:5000"),
        listener: ListenerName::from("edge"),
        tls: None,
        started: Instant::now(),
        termination: std::cell::OnceCell::new(),
    };
    StreamInfo { started_at: UNIX_EPOCH + Duration::from_micros(1_795_264_276_508_101), ..StreamInfo::new(Rc::new(connection)) }
}

fn request() -> RequestHead {
    let mut headers = HeaderMap::new();
    headers.insert("x-a", HeaderValue::from_static("one"));
    headers.append("x-a", HeaderValue::from_static("two"));
    headers.insert("x-quote", HeaderValue::from_bytes(b"a\"b\\c\td\xe9").unwrap());
    RequestHead {
        method: Method::GET,
        scheme: HeaderValue::from_static("http"),
        authority: HeaderValue::from_static("a.test:80"),
        path: Some("/log?a=1".parse().unwrap()),
        version: Version::HTTP_11,
        upgrade: None,
        headers,
    }
}

fn text(format: &str, exchange: &Exchange<'_>) -> String {
    let format = LogFormat::Text { format: Format::parse(format).unwrap(), omit_empty: false };
    let mut out = Vec::new();
    log_line(&format, exchange, &mut out);
    String::from_utf8(out).unwrap()
}

/// Evaluates with a changed exchange.
fn with(format: &str, change: impl FnOnce(&mut StreamInfo, &mut RequestHead)) -> String {
    let (mut info, mut request) = (info(), request());
    change(&mut info, &mut request);
    text(format, &Exchange { request: Some(&request), ..Exchange::of_connection(&info, "box") })
}

fn plain(format: &str) -> String {
    with(format, |_, _| {})
}

#[test]
fn values_are_those_of_the_exchange() {
    for (format, expected) in [
        ("%REQ(X-A)%", "one"),
        ("%REQ(nope?X-A)%", "one"),
        ("%REQ(nope)%", "-"),
        ("%REQ(:method)% %REQ(:scheme)% %REQ(:authority)% %REQ(host)%", "GET http a.test:80 a.test:80"),
        ("%REQ(:path):4%", "/log"),
        ("%REQ_WITHOUT_QUERY(:path)%", "/log"),
        ("%PATH(WQ)%|%PATH(NQ)%|%PATH(NQ:ORIG)%|%PATH(NQ:PATH)%", "/log?a=1|/log|-|/log"),
        ("%RESPONSE_CODE%", "0"),
        ("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", "- -"),
        ("%RESPONSE_CODE_DETAILS%", "-"),
        ("%PROTOCOL%", "-"),
        ("%CONNECTION_ID%", "7"),
        ("%HOSTNAME% %LISTENER_NAME%", "box edge"),
        ("%LOCAL_REPLY_BODY%", ""),
        ("%ROUTE_NAME% %TRACE_ID% %GRPC_STATUS%", "- - -"),
        ("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%", "10.0.0.9:5000 10.0.0.9 5000"),
        ("%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_PORT%", "10.0.0.1:80 5000"),
        ("%UPSTREAM_HOST% %UPSTREAM_REQUEST_ATTEMPT_COUNT%", "- 0"),
        ("%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION%", "- -"),
        ("%REQUEST_DURATION% %RESPONSE_TX_DURATION%", "- -"),
        ("%DYNAMIC_METADATA(a)% 100%%", "- 100%"),
    ] {
        assert_eq!(plain(format), expected, "{format}");
    }
}

#[test]
fn times_are_written_as_envoy_writes_them() {
    for (format, expected) in [
        ("%START_TIME%", "2026-11-21T12:31:16.508Z"),
        ("%START_TIME(%s)%", "1795264276"),
        (
            "%START_TIME(%s.%3f|%6f|%9f|%f|%1f|%Y-%m-%dT%H:%M:%S%z %Z)%",
            "1795264276.508|508101|508101000|508101000|5|2026-11-21T12:31:16+0000 UTC",
        ),
        ("%START_TIME(%E3S %E6S %Ez %j %a %b %T %F %e %I %p %%)%", "16.508 16.508101 +00:00 325 Sat Nov 12:31:16 2026-11-21 21 12 PM %"),
        ("%START_TIME(%E*S %E*f %A %B %D %R %u %w %y %C)%", "16.508101 508101 Saturday November 11/21/26 12:31 6 6 26 20"),
    ] {
        assert_eq!(plain(format), expected, "{format}");
    }
}

#[test]
fn days_of_leap_years_are_right() {
    for (seconds, expected) in [
        (0u64, "1970-01-01 001 Thu"),
        (951_782_400, "2000-02-29 060 Tue"),
        (951_868_800, "2000-03-01 061 Wed"),
        (1_709_164_800, "2024-02-29 060 Thu"),
        (1_735_603_200, "2024-12-31 366 Tue"),
        (1_767_139_200, "2025-12-31 365 Wed"),
        (4_107_542_400, "2100-03-01 060 Mon"),
    ] {
        let written = with("%START_TIME(%F %j %a)%", |info, _| info.started_at = UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(written, expected);
    }
}

#[test]
fn the_upstream_is_told_of() {
    let change = |info: &mut StreamInfo, _: &mut RequestHead| {
        info.upstream.cluster = Some(ClusterName::from("shop"));
        info.upstream.host = Some(ip("[::1]:8080"));
        info.upstream.failure = Some("delayed connect error: Connection refused".to_owned());
        info.upstream.protocol = Some(Version::HTTP_2);
        info.upstream.attempts = 2;
    };
    let format = "%UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_PROTOCOL% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_REMOTE_PORT% %UPSTREAM_TRANSPORT_FAILURE_REASON%";
    assert_eq!(with(format, change), "shop [::1]:8080 HTTP/2 2 - delayed_connect_error:_Connection_refused");
    let connected = with("%UPSTREAM_LOCAL_PORT% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", |info, request| {
        change(info, request);
        info.upstream.local = Some(ip("[::1]:40000"));
    });
    assert_eq!(connected, "40000 ::1");
}

#[test]
fn details_and_flags_are_one_word_each() {
    let change = |info: &mut StreamInfo, _: &mut RequestHead| {
        info.details = "upstream reset".into();
        info.flags.set(ResponseFlag::UpstreamConnectionFailure);
        info.flags.set(ResponseFlag::UpstreamRetryLimitExceeded);
    };
    assert_eq!(with("%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%", change), "upstream_reset UF,URX");
    let long = "%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)% %RESPONSE_FLAGS_LONG%";
    assert_eq!(with(long, change), "upstream reset UpstreamConnectionFailure,UpstreamRetryLimitExceeded");
}

#[test]
fn tls_is_told_of() {
    let mut info = info();
    let tls = TlsInfo {
        sni: Some("a.test".to_owned()),
        version: Some("TLSv1.3"),
        peer: Some(Box::new(Certificate {
            uris: vec!["spiffe://a".to_owned(), "spiffe://b".to_owned()],
            serial: "0bf2".to_owned(),
            valid_from: Some(UNIX_EPOCH),
            ..Certificate::default()
        })),
        local: Some(Arc::new(Certificate { uris: vec!["spiffe://c".to_owned()], ..Certificate::default() })),
        ..TlsInfo::default()
    };
    Rc::get_mut(&mut info.connection).unwrap().tls = Some(tls);
    let format = "%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT%";
    assert_eq!(text(format, &Exchange::of_connection(&info, "")), "a.test TLSv1.3 spiffe://a,spiffe://b -");
    let format = "%DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_PEER_CERT_V_START% %DOWNSTREAM_PEER_CERT_V_END(%Y)%";
    assert_eq!(text(format, &Exchange::of_connection(&info, "")), "0bf2 spiffe://c 1970-01-01T00:00:00.000Z -");
}

#[test]
fn a_grpc_status_comes_from_trailers_headers_or_the_http_status() {
    let (mut info, mut request) = (info(), request());
    let fields =
        |status: &'static str| HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))]);
    let (headers, trailers, strange) = (fields("5"), fields("8"), fields("42"));
    let format = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%";
    let eval = |info: &StreamInfo, request: &RequestHead, response, trailers| {
        text(format, &Exchange { request: Some(request), response, trailers, ..Exchange::of_connection(info, "") })
    };
    assert_eq!(eval(&info, &request, Some(&headers), None), "- - -");
    request.headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    assert_eq!(eval(&info, &request, None, None), "- - -");
    info.status = Some(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(eval(&info, &request, None, None), "Unavailable UNAVAILABLE 14");
    assert_eq!(eval(&info, &request, Some(&headers), None), "NotFound NOT_FOUND 5");
    assert_eq!(eval(&info, &request, Some(&headers), Some(&trailers)), "ResourceExhausted RESOURCE_EXHAUSTED 8");
    assert_eq!(eval(&info, &request, Some(&strange), None), "42 42 42");
}

#[tokio::test(start_paused = true)]
async fn durations_are_whole_milliseconds() {
    let mut info = info();
    tokio::time::advance(Duration::from_micros(12_900)).await;
    info.request_ended = Some(Instant::now());
    info.upstream.response_began = Some(Instant::now());
    tokio::time::advance(Duration::from_millis(5)).await;
    let format = "%DURATION% %REQUEST_DURATION% %COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)% %RESPONSE_TX_DURATION%";
    assert_eq!(text(format, &Exchange::of_connection(&info, "")), "17 12 12900 -");
    info.ended = Some(Instant::now());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(text("%DURATION% %RESPONSE_TX_DURATION%", &Exchange::of_connection(&info, "")), "17 5");
}

#[test]
fn a_value_cannot_break_a_line_of_text() {
    let line = with("%REQ(x-quote)%|%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%\n", |info, _| info.details = "a\r\nb\u{85}".into());
    assert_eq!(line, "a\"b\\c\\x09d\\xe9|a\\x0d\\x0ab\\x85\n");
}

#[test]
fn a_cut_does_not_split_a_character() {
    let header = |format: &str| {
        with(format, |_, request| {
            request.headers.insert("x-u", HeaderValue::from_bytes("aéb".as_bytes()).unwrap());
        })
    };
    assert_eq!(header("%REQ(x-u):2%"), "a");
    assert_eq!(header("%REQ(x-u):3%"), "aé");
    assert_eq!(header("%REQ(x-u):0%|%REQ(x-u):99%"), "|aéb");
}

fn json(format: &str) -> JsonValue {
    JsonValue::Format(Format::parse(format).unwrap())
}

fn fields() -> Vec<(String, JsonValue)> {
    let field = |name: &str, value| (name.to_owned(), value);
    vec![
        field("b_bytes", json("%BYTES_SENT%")),
        field("a_req", json("%REQ(nope)%")),
        field("Zcap", json("up")),
        field("mix", json("%BYTES_SENT%b%REQ(nope)%")),
        field("quote", json("%REQ(x-quote)%")),
        field("zz_list", JsonValue::List(vec![json("%REQ(nope)%"), json("x")])),
        field("zz_obj", JsonValue::Object(vec![field("b", json("%REQ(nope)%")), field("a", json("%BYTES_SENT%"))])),
        field("zz_f", JsonValue::Number(1.5)),
        field("zz_num", JsonValue::Number(3.0)),
        field("zz_bool", JsonValue::Bool(true)),
    ]
}

#[test]
fn json_is_sorted_and_typed_as_envoys() {
    let (info, request) = (info(), request());
    let exchange = Exchange { request: Some(&request), ..Exchange::of_connection(&info, "") };
    assert_eq!(
        json_line(&fields(), &exchange, false),
        concat!(
            r#"{"Zcap":"up","a_req":null,"b_bytes":0,"mix":"0b-","quote":"a\"b\\c\tdé","zz_bool":true,"#,
            r#""zz_f":1.5,"zz_list":[null,"x"],"zz_num":3,"zz_obj":{"a":0,"b":null}}"#,
            "\n"
        )
    );
    assert_eq!(
        json_line(&fields(), &exchange, true),
        concat!(
            r#"{"Zcap":"up","b_bytes":0,"mix":"0b","quote":"a\"b\\c\tdé","zz_bool":true,"#,
            r#""zz_f":1.5,"zz_list":["x"],"zz_num":3,"zz_obj":{"a":0}}"#,
            "\n"
        )
    );
}

#[test]
fn json_without_fields_is_an_object() {
    assert_eq!(json_line(&[], &Exchange::of_connection(&info(), ""), true), "{}\n");
}

#[test]
fn the_default_line_is_envoys() {
    let line = with(DEFAULT_ACCESS_LOG, |info, request| {
        info.status = Some(StatusCode::OK);
        info.protocol = Some(Version::HTTP_11);
        info.ended = Some(info.started);
        request.headers.insert("x-envoy-original-path", HeaderValue::from_static("/before"));
    });
    assert_eq!(line, "[2026-11-21T12:31:16.508Z] \"GET /before HTTP/1.1\" 200 - 0 0 0 - \"-\" \"-\" \"-\" \"a.test:80\" \"-\"\n");
}

#[test]
fn bodies_and_headers_are_not_escaped() {
    let (info, request) = (info(), request());
    let exchange = Exchange { local_reply_body: Some("a\nb"), request: Some(&request), ..Exchange::of_connection(&info, "") };
    let format = Format::parse("%LOCAL_REPLY_BODY%%REQ(nope)%!").unwrap();
    assert_eq!(render(&LogFormat::Text { format, omit_empty: true }, &exchange), "a\nb!");
    let mut out = Vec::new();
    write_bytes(&Format::parse("%REQ(x-quote)%%REQ(nope)%").unwrap(), &exchange, &mut out, "");
    assert_eq!(out, b"a\"b\\c\td\xe9");
}

#[test]
fn an_identifier_is_a_uuid_and_another_each_time() {
    let (one, two) = (plain("%UNIQUE_ID%"), plain("%UNIQUE_ID%"));
    assert_ne!(one, two);
    assert_eq!(one.len(), 36);
    assert_eq!(one.get(14..15), Some("4"));
    assert!(matches!(one.get(19..20), Some("8" | "9" | "a" | "b")), "{one}");
}
