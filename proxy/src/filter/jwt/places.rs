use std::borrow::Cow;

use http::header::{COOKIE, HeaderMap, HeaderValue};

use crate::config::jwt::Provider;
use crate::exchange::{RequestHead, RequestPath};

/// Tokens of one request that are looked at. Each costs the check of a signature.
pub(super) const MOST: usize = 8;

/// The tokens in a provider's places, in order; each once, and one more than [`MOST`] at most.
pub(super) fn tokens(provider: &Provider, request: &RequestHead) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        if !text.is_empty() && found.len() <= MOST && !found.iter().any(|known| known == text) {
            found.push(text.to_owned());
        }
    };
    for (name, prefix) in &provider.headers {
        for value in request.headers.get_all(name) {
            if let Some(text) = value.to_str().ok().and_then(|value| behind(value, prefix)) {
                add(text);
            }
        }
    }
    for name in &provider.parameters {
        for (_, value) in parameters(request).filter(|(known, _)| known == name) {
            add(&value);
        }
    }
    for name in &provider.cookies {
        for (_, value) in cookies(&request.headers).filter(|(known, _)| *known == name.as_bytes()) {
            add(&String::from_utf8_lossy(value));
        }
    }
    found
}

/// As Envoy: what follows the prefix, wherever that stands, from the first character that can be part of a token.
fn behind<'a>(value: &'a str, prefix: &str) -> Option<&'a str> {
    let at = value.find(prefix)?;
    let rest = value.get(at.checked_add(prefix.len())?..)?;
    if prefix.is_empty() {
        return Some(rest);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    Some(rest.trim_start_matches(|c| !is_part(c)))
}

/// Names and values, decoded.
fn parameters(request: &RequestHead) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    request.query().unwrap_or_default().split('&').map(pair)
}

fn pair(text: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decoded(name), decoded(value))
}

/// `%41` is `A`; what is not two digits stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.split_at_checked(2).filter(|(digits, _)| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|(digits, after)| Some((u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, after)));
        let (byte, after) = byte.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let value = pair.get(at.checked_add(1)?..)?;
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some((pair.get(..at)?, unquoted.unwrap_or(value)))
    })
}

/// Takes a token away from where it was found. Cookies stay, as in Envoy.
pub(super) fn remove(provider: &Provider, token: &str, request: &mut RequestHead) {
    for (name, prefix) in &provider.headers {
        let holds = |value: &HeaderValue| value.to_str().ok().and_then(|value| behind(value, prefix)) == Some(token);
        if request.headers.get_all(name).iter().any(holds) {
            request.headers.remove(name);
        }
    }
    if let Some(path) = without(provider, token, request) {
        request.path = Some(path);
    }
}

/// The path without the parameters that hold the token; `None` where none does.
fn without(provider: &Provider, token: &str, request: &RequestHead) -> Option<RequestPath> {
    let holds = |text: &str| {
        let (name, value) = pair(text);
        value == token && provider.parameters.iter().any(|known| *known == name)
    };
    let query = request.query()?;
    if !query.split('&').any(holds) {
        return None;
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| !holds(pair)).collect();
    let path = request.path_only();
    let text = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    RequestPath::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_begins_behind_its_prefix() {
        assert_eq!(behind("Bearer a.b.c", "Bearer "), Some("a.b.c"));
        assert_eq!(behind("x Bearer  \"a.b.c\"", "Bearer "), Some("a.b.c\""));
        assert_eq!(behind("Bearer ", "Bearer "), Some(""));
        assert_eq!(behind("Basic a.b.c", "Bearer "), None);
        assert_eq!(behind("any thing", ""), Some("any thing"));
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(decoded("a%2Eb%2ec"), "a.b.c");
        assert_eq!(decoded("%"), "%");
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%zz%41"), "%zzA");
        assert_eq!(decoded("%+1"), "%+1");
    }
}
