use http::header::{HeaderMap, HeaderValue};
use http::{Method, Version};

use crate::config::matcher::RequestHeaders;
use crate::exchange::RequestPath;

/// A request's head in one form for HTTP/1 and HTTP/2. `host` is not among the fields: it is the authority.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Method.
    pub method: Method,
    /// `http` or `https`.
    pub scheme: HeaderValue,
    /// Host and port; empty where the client said so.
    pub authority: HeaderValue,
    /// Path and query; `None` for a plain CONNECT.
    pub path: Option<RequestPath>,
    /// The client's HTTP version.
    pub version: Version,
    /// `:protocol` of an extended CONNECT (RFC 8441), or the `upgrade` header's value of an HTTP/1.1 upgrade, lower case.
    pub upgrade: Option<String>,
    /// Fields.
    pub headers: HeaderMap,
}

impl RequestHead {
    /// The path without the query; empty for a plain CONNECT.
    pub fn path_only(&self) -> &str {
        self.path.as_ref().map_or("", RequestPath::path)
    }

    /// The query, without `?`.
    pub fn query(&self) -> Option<&str> {
        self.path.as_ref().and_then(RequestPath::query)
    }

    /// Whether this is a gRPC request: `content-type` is `application/grpc`, alone or followed by `+` or `;` (as Envoy reads it).
    pub fn is_grpc(&self) -> bool {
        let Some(content_type) = self.headers.get(http::header::CONTENT_TYPE) else { return false };
        let Some(rest) = content_type.as_bytes().strip_prefix(b"application/grpc") else { return false };
        matches!(rest.first(), None | Some(b'+' | b';'))
    }
}

#[cfg(test)]
impl RequestHead {
    /// `GET` of a path over HTTP/1.1, of no host.
    pub(crate) fn of_path(path: &str, headers: HeaderMap) -> Self {
        let nothing = HeaderValue::from_static("");
        let (method, version) = (Method::GET, Version::HTTP_11);
        Self { method, scheme: nothing.clone(), authority: nothing, path: path.parse().ok(), version, upgrade: None, headers }
    }
}

impl RequestHeaders for RequestHead {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        self.path.as_ref().map_or("", RequestPath::as_str)
    }

    fn has_path(&self) -> bool {
        self.path.is_some()
    }

    fn authority(&self) -> &str {
        self.authority.to_str().unwrap_or("")
    }

    fn scheme(&self) -> &str {
        self.scheme.to_str().unwrap_or("")
    }

    fn fields(&self) -> &HeaderMap {
        &self.headers
    }
}
