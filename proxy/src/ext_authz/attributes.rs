use std::collections::BTreeMap;

use http::header::HeaderMap;

use crate::config::ext_authz::ExternalAuthorization;
use crate::config::matcher::StringMatch;
use crate::exchange::RequestHead;

/// Says whether the body is the whole. What a client says there is not passed on.
pub(super) const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// The headers of a request that a filter tells, by name; several of one name are one list. `always` are told by every filter.
pub(super) fn headers(filter: &ExternalAuthorization, request: &RequestHead, always: Option<&[&str]>) -> BTreeMap<String, Vec<u8>> {
    let allowed = filter.allowed_headers.as_deref();
    let is_told = |name: &str| {
        let is_allowed = match (allowed, always) {
            (None, None) => true,
            (allowed, always) => always.is_some_and(|always| always.contains(&name)) || allowed.is_some_and(|list| any(list, name)),
        };
        is_allowed && !any(&filter.disallowed_headers, name) && name != PARTIAL_BODY
    };
    let mut told = BTreeMap::new();
    let path = request.path.as_ref().map(|path| path.as_str().as_bytes());
    let pseudo = [
        (":authority", Some(request.authority.as_bytes())),
        (":method", Some(request.method.as_str().as_bytes())),
        (":path", path),
        (":scheme", Some(request.scheme.as_bytes())),
    ];
    for (name, value) in pseudo {
        if let Some(value) = value.filter(|_| is_told(name)) {
            told.insert(name.to_owned(), value.to_vec());
        }
    }
    for name in request.headers.keys().filter(|name| is_told(name.as_str())) {
        told.insert(name.as_str().to_owned(), joined(&request.headers, name.as_str()));
    }
    told
}

pub(super) fn any(list: &[StringMatch], name: &str) -> bool {
    list.iter().any(|wanted| wanted.matches(name.as_bytes()))
}

fn joined(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    values.join(&b","[..])
}

/// As Envoy: what is not UTF-8 is `!`.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(std::iter::repeat_n('!', chunk.invalid().len()));
    }
    out
}
