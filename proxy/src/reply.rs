//! Answers that the proxy makes itself. Each explains itself: Envoy's text and response flag, RFC 9209 `Proxy-Status`, and a
//! gRPC status for gRPC requests.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::exchange::ResponseFlag;

/// RFC 9209.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// An answer that the proxy makes itself.
#[derive(Clone, Debug)]
pub struct LocalReply {
    /// Status.
    pub status: StatusCode,
    /// For the client, in Envoy's words.
    pub body: Bytes,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Cow<'static, str>,
    /// The response flag.
    pub flag: Option<ResponseFlag>,
    /// RFC 9209, section 2.3: the error's type; `None` where nothing went wrong (redirects, direct responses).
    pub error: Option<&'static str>,
    /// One plain sentence for whoever reads the header: what happened, to which peer, by which rule.
    pub explanation: String,
    /// What a gRPC client gets; else the status says it.
    pub grpc_status: Option<u16>,
    /// Fields to add (`location`).
    pub headers: HeaderMap,
    /// The route's response headers are added (Envoy adds them to what the router answers).
    pub routed: bool,
}

impl LocalReply {
    /// An answer with Envoy's text and details.
    pub fn new(status: StatusCode, body: impl Into<Bytes>, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            body: body.into(),
            details: details.into(),
            flag: None,
            error: None,
            explanation: String::new(),
            grpc_status: None,
            headers: HeaderMap::new(),
            routed: false,
        }
    }

    /// With its flag, RFC 9209 error type and sentence.
    #[must_use]
    pub fn because(mut self, flag: Option<ResponseFlag>, error: &'static str, explanation: impl Into<String>) -> Self {
        self.flag = flag;
        self.error = Some(error);
        self.explanation = explanation.into();
        self
    }

    /// With a gRPC status of its own.
    #[must_use]
    pub fn grpc_status(mut self, status: u16) -> Self {
        self.grpc_status = Some(status);
        self
    }

    /// Made by the router: the route's response headers are added.
    #[must_use]
    pub fn routed(mut self) -> Self {
        self.routed = true;
        self
    }

    /// Turns it into a response; a gRPC request gets status 200 and `grpc-status`.
    pub fn render(&self, grpc: bool) -> (Response<()>, Bytes) {
        let mut response = Response::new(());
        *response.headers_mut() = self.headers.clone();
        let body = if grpc { self.render_grpc(&mut response) } else { self.render_http(&mut response) };
        if let Some(error) = self.error
            && let Ok(value) = HeaderValue::try_from(self.proxy_status(error))
        {
            response.headers_mut().insert(PROXY_STATUS, value);
        }
        (response, body)
    }

    fn render_http(&self, response: &mut Response<()>) -> Bytes {
        *response.status_mut() = self.status;
        let body = self.body.clone();
        if !body.is_empty() && !response.headers().contains_key(CONTENT_TYPE) {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        // The codec says where an empty body ends.
        if !body.is_empty() {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        body
    }

    fn render_grpc(&self, response: &mut Response<()>) -> Bytes {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from(self.grpc_status.unwrap_or_else(|| grpc_status(self.status))));
        if !self.body.is_empty()
            && let Ok(message) = HeaderValue::try_from(percent_encode(&self.body))
        {
            headers.insert(GRPC_MESSAGE, message);
        }
        Bytes::new()
    }

    /// RFC 9209: `ninon; error=connection_refused; details="..."`, and the response flag as our own parameter.
    fn proxy_status(&self, error: &str) -> String {
        let mut value = format!("ninon; error={error}");
        if let Some(flag) = self.flag {
            value.push_str("; flag=");
            value.push_str(flag.code());
        }
        if !self.explanation.is_empty() {
            value.push_str("; details=\"");
            // RFC 8941, section 3.3.3: a string holds printable ASCII, with `"` and `\` escaped.
            for character in self.explanation.chars() {
                match character {
                    '"' | '\\' => value.extend(['\\', character]),
                    ' '..='~' => value.push(character),
                    _ => value.push('?'),
                }
            }
            value.push('"');
        }
        value
    }
}

/// Source: grpc/grpc, doc/http-grpc-status-mapping.md.
pub fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// gRPC over HTTP/2, "Responses": `Percent-Encoded`.
fn percent_encode(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.iter().copied() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> LocalReply {
        LocalReply::new(StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream", "no_healthy_upstream").because(
            Some(ResponseFlag::NoHealthyUpstream),
            "destination_unavailable",
            "cluster \"shop\" has no endpoint",
        )
    }

    #[test]
    fn an_error_explains_itself() {
        let (response, body) = reply().render(false);
        assert_eq!(response.status(), 503);
        assert_eq!(body, "no healthy upstream");
        let wanted = r#"ninon; error=destination_unavailable; flag=UH; details="cluster \"shop\" has no endpoint""#;
        assert_eq!(response.headers()[PROXY_STATUS], wanted);
    }

    #[test]
    fn a_grpc_client_gets_a_grpc_status() {
        let (response, body) = reply().render(true);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["grpc-message"], "no healthy upstream");
        assert!(body.is_empty());
    }

    #[test]
    fn a_peers_text_cannot_break_out_of_the_header() {
        let hostile = reply().because(None, "proxy_internal_error", "a\"; x=\"\r\nSet-Cookie: a=b");
        let (response, _) = hostile.render(false);
        let value = response.headers()[PROXY_STATUS].to_str().unwrap();
        assert_eq!(value, r#"ninon; error=proxy_internal_error; details="a\"; x=\"??Set-Cookie: a=b""#);
    }
}
