use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Fields of requests that Envoy keeps as one line: a second line is appended to the first (RFC 9110, section 5.3).
const OF_REQUESTS: [&str; 33] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "te",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// ... and those of responses.
const OF_RESPONSES: [&str; 26] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
    "age",
    "cache-control",
    "content-encoding",
    "content-type",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status",
    "last-modified",
    "location",
    "server",
    "vary",
    "via",
    "x-envoy-decorator-operation",
    "x-envoy-degraded",
    "x-envoy-upstream-canary",
    "x-envoy-upstream-healthchecked-cluster",
    "x-envoy-upstream-service-time",
    "x-request-id",
];

/// Makes one line of several of a request's list fields.
pub fn join_request(headers: &mut HeaderMap) {
    join(headers, &OF_REQUESTS);
}

/// Makes one line of several of a response's list fields.
pub fn join_response(headers: &mut HeaderMap) {
    join(headers, &OF_RESPONSES);
}

fn join(headers: &mut HeaderMap, names: &[&'static str]) {
    if headers.len() == headers.keys_len() {
        return;
    }
    for name in names {
        let mut lines = headers.get_all(*name).iter();
        let (Some(first), Some(second)) = (lines.next(), lines.next()) else { continue };
        let mut joined = first.as_bytes().to_vec();
        for line in std::iter::once(second).chain(lines) {
            joined.push(b',');
            joined.extend_from_slice(line.as_bytes());
        }
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            headers.insert(HeaderName::from_static(name), joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_one_line_and_other_fields_stay_apart() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("accept", "a/b"), ("accept", "c/d"), ("accept", "e/f"), ("x-any", "1"), ("x-any", "2"), ("cookie", "a")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        join_request(&mut headers);
        assert_eq!(headers.get_all("accept").iter().collect::<Vec<_>>(), ["a/b,c/d,e/f"]);
        assert_eq!(headers.get_all("x-any").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers["cookie"], "a");
    }

    #[test]
    fn cookies_of_a_response_are_never_joined() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("vary", "a"), ("vary", "b")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        join_response(&mut headers);
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(headers["vary"], "a,b");
    }
}
