use ninon_proxy::codec::Http1Options;
use ninon_proxy::codec::http1::fuzz;
use ninon_proxy::config::listener::ProxyProtocol;
use ninon_proxy::detect::client_hello::Parser;
use ninon_proxy::detect::{Verdict, http, proxy_protocol};

/// A verdict on the whole is the verdict on the pieces.
pub(super) fn client_hello(data: &[u8]) {
    let whole = Parser::default().feed(data);
    let mut parser = Parser::default();
    let mut last = Verdict::NeedMore;
    for end in 0..=data.len() {
        last = parser.feed(&data[..end]);
        if last != Verdict::NeedMore {
            break;
        }
    }
    assert_eq!(whole, last);
}

/// A verdict that is given is not taken back when more bytes come.
pub(super) fn http_preface(data: &[u8]) {
    let mut given = Verdict::NeedMore;
    for end in 0..=data.len() {
        let verdict = http::classify(&data[..end]);
        if given != Verdict::NeedMore {
            assert_eq!(verdict, given, "after {end} bytes");
            if end > 64 {
                return;
            }
        }
        given = verdict;
    }
}

/// The header's length stays within the input, and a verdict that is given is not taken back.
pub(super) fn proxy_protocol(data: &[u8]) {
    let Some((flags, data)) = data.split_first() else { return };
    let settings = ProxyProtocol { optional: flags & 1 != 0, disallow_v1: flags & 2 != 0, disallow_v2: flags & 4 != 0 };
    let whole = proxy_protocol::parse(data, settings);
    if let Ok(Verdict::Is(header)) = &whole {
        assert!(header.length <= data.len());
        assert_eq!(proxy_protocol::parse(&data[..header.length], settings), whole);
    }
    for end in 0..data.len().min(300) {
        let early = proxy_protocol::parse(&data[..end], settings);
        if early != Ok(Verdict::NeedMore) {
            assert_eq!(early, whole, "after {end} bytes");
            return;
        }
    }
}

/// Heads end where an empty line ends, and a body is the same however it is cut.
pub(super) fn http1(data: &[u8]) {
    let Some((flags, data)) = data.split_first() else { return };
    let options = Http1Options {
        max_head_bytes: 2048,
        max_headers: 16,
        head_timeout: None,
        idle_timeout: None,
        stall_timeout: None,
        accept_http_10: flags & 1 != 0,
        default_host_for_http_10: None,
        allow_absolute_url: flags & 2 != 0,
        allow_chunked_length: flags & 4 != 0,
        allow_custom_methods: flags & 8 != 0,
        enable_trailers: true,
        max_requests: None,
        buffer_limit: 4096,
    };
    if let Ok(Some(length)) = fuzz::parse_request_head(data, &options) {
        assert!(data[..length].ends_with(b"\n"));
    }
    if let Ok(Some(length)) = fuzz::parse_response_head(data, 16) {
        assert!(data[..length].ends_with(b"\n"));
    }
    let whole = fuzz::decode_chunked([data]);
    let pieces = fuzz::decode_chunked(data.chunks(1 + usize::from(flags >> 4)));
    // Of two faults in one body, the one that is told is the one that arrived first.
    assert_eq!(whole.ok(), pieces.ok());
}
