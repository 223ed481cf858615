use std::net::IpAddr;
use std::sync::Arc;

use crate::model::authorization::{Path, Pattern, Range};
use crate::model::name::Name;
use crate::source::manifest::reader::Reader;
use crate::source::manifest::text as texts;

/// As in Envoy.
const LONGEST_TEMPLATE: usize = 256;
/// Each slash may be the one between issuer and subject, and is tried as such.
const MOST_SLASHES: usize = 32;
const LONGEST_TOKEN_PRINCIPAL: usize = 2048;
/// Methods that are written in capitals; others may be written in any way.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// What RFC 3986 lets a path have as it is or escaped.
const EITHER_WAY: &[char] = &['!', '$', '&', '\'', '(', ')', '+', ',', ';', '=', ':', '@'];
/// What a path may have besides letters, digits and escapes (RFC 3986).
const OF_PATHS: &str = "-._~!$&'()+,;=:@/*";

/// `x`, `x*`, `*x`, `*`.
pub(in crate::source::manifest) fn text(text: &str, reader: &mut Reader) -> Option<Pattern> {
    if text == "*" {
        return Some(Pattern::Present);
    }
    let (fixed, pattern): (_, fn(Arc<str>) -> Pattern) = match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(end), _) => (end, Pattern::Suffix),
        (None, Some(begin)) => (begin, Pattern::Prefix),
        (None, None) => (text, Pattern::Exact),
    };
    if fixed.is_empty() || fixed.contains('*') {
        return reader.refuse(format_args!("{text:?}: a text, x*, *x or * is needed"));
    }
    Some(pattern(fixed.into()))
}

/// `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
pub(super) fn principal(text: &str, reader: &mut Reader) -> Option<Pattern> {
    if text.starts_with("spiffe:") {
        return reader.refuse(format_args!("{text:?}: without spiffe://"));
    }
    let pattern = self::text(text, reader)?;
    if let Pattern::Exact(exact) = &pattern {
        let parts: Vec<&str> = exact.split('/').collect();
        let is_whole = matches!(parts.as_slice(), [domain, "ns", namespace, "sa", account]
            if [domain, namespace, account].into_iter().all(|part| !part.is_empty()));
        if !is_whole {
            return reader.refuse(format_args!("{text:?} is not of the form TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT"));
        }
    }
    Some(pattern)
}

/// `ISSUER/SUBJECT` of a token.
pub(super) fn token(text: &str, reader: &mut Reader) -> Option<Pattern> {
    if text.len() > LONGEST_TOKEN_PRINCIPAL || text.matches('/').count() > MOST_SLASHES {
        let rule = format_args!("it has more than {LONGEST_TOKEN_PRINCIPAL} bytes or {MOST_SLASHES} slashes");
        return reader.refuse(rule);
    }
    let pattern = self::text(text, reader)?;
    if let Pattern::Exact(exact) = &pattern
        && (!exact.contains('/') || exact.starts_with('/') || exact.ends_with('/'))
    {
        return reader.refuse(format_args!("{text:?} is not of the form ISSUER/SUBJECT"));
    }
    Some(pattern)
}

/// Whether what a principal begins with can be of a trust domain.
pub(super) fn is_of(text: &str, trust_domain: &str, reader: &mut Reader) -> Option<()> {
    let begin = text.split('*').next().unwrap_or_default();
    let domain = format!("{trust_domain}/");
    if begin.starts_with(&domain) || domain.starts_with(begin) {
        return Some(());
    }
    reader.refuse(format_args!("{text:?} is nobody's: identities are of the trust domain {trust_domain:?} (--trust-domain)"))
}

/// A namespace.
pub(super) fn namespace(text: &str, reader: &mut Reader) -> Option<Pattern> {
    let pattern = self::text(text, reader)?;
    let (Pattern::Exact(part) | Pattern::Prefix(part) | Pattern::Suffix(part)) = &pattern else { return Some(pattern) };
    if !part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return reader.refuse(format_args!("{text:?}: names of namespaces have lower case letters, digits and '-'"));
    }
    Some(pattern)
}

/// `NAMESPACE/ACCOUNT`, or `ACCOUNT` of the policy's namespace.
pub(super) fn account(text: &str, own: &Arc<str>, reader: &mut Reader) -> Option<Name> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (texts::label(namespace, reader), name),
        None => (Some(Arc::clone(own)), text),
    };
    let name = texts::subdomain(name, reader);
    Some(Name { namespace: namespace?, name: name? })
}

/// `10.0.0.0/8` or `10.1.2.3`.
pub(super) fn range(text: &str, reader: &mut Reader) -> Option<Range> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: Option<IpAddr> = address.parse().ok();
    let most = address.map_or(0, |address| if address.is_ipv4() { 32 } else { 128 });
    let is_number = |length: &&str| !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = match length {
        None => Some(most),
        Some(length) => Some(length).filter(is_number).and_then(|length| length.parse::<u8>().ok()).filter(|length| *length <= most),
    };
    match (address, length) {
        (Some(address), Some(length)) => Some(Range { address, length }),
        _ => reader.refuse(format_args!("{text:?} is neither an IP address nor a range such as 10.0.0.0/8")),
    }
}

/// A port.
pub(super) fn port(text: &str, reader: &mut Reader) -> Option<u16> {
    match text.parse::<i64>() {
        Ok(number) => texts::port(number, reader),
        Err(_) => reader.refuse(format_args!("{text:?} is not a port")),
    }
}

/// A host, with a port or without.
pub(super) fn host(text: &str, reader: &mut Reader) -> Option<Pattern> {
    let pattern = self::text(text, reader)?;
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || b"/?#@".contains(&byte)) {
        return reader.refuse(format_args!("{text:?} is not a host"));
    }
    Some(pattern)
}

/// A method.
pub(super) fn method(text: &str, reader: &mut Reader) -> Option<Pattern> {
    let pattern = self::text(text, reader)?;
    let capitals = text.to_ascii_uppercase();
    if text != capitals && METHODS.contains(&capitals.as_str()) {
        return reader.refuse(format_args!("{text:?} is not the method {capitals:?}: methods are compared letter by letter"));
    }
    if http::Method::from_bytes(text.as_bytes()).is_err() {
        return reader.refuse(format_args!("{text:?} is not a method"));
    }
    Some(pattern)
}

/// A path as requests have it once it is normalized: what never occurs would deny nothing.
pub(super) fn path(text: &str, reader: &mut Reader) -> Option<Path> {
    if text.contains(['{', '}']) {
        return template(text, reader).map(Path::Template);
    }
    let pattern = self::text(text, reader)?;
    if let Pattern::Exact(part) | Pattern::Prefix(part) = &pattern
        && !part.starts_with('/')
    {
        return reader.refuse(format_args!("{text:?} does not begin with '/'"));
    }
    if let Some(problem) = never(text) {
        return reader.refuse(format_args!("{text:?}: {problem}"));
    }
    Some(Path::Text(pattern))
}

/// Why no request has such a path when it is looked at.
fn never(path: &str) -> Option<&'static str> {
    if path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..") {
        return Some("paths are looked at without repeated slashes and without . and ..");
    }
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'%' => {
                let Some((escape, after)) = tail.split_at_checked(2) else { return Some("'%' needs two hexadecimal digits") };
                let decoded = std::str::from_utf8(escape).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(byte) = decoded.filter(|_| escape.iter().all(u8::is_ascii_hexdigit)) else {
                    return Some("'%' needs two hexadecimal digits");
                };
                if byte.is_ascii_alphanumeric() || b"-._~/\\".contains(&byte) {
                    return Some("letters, digits, slashes and -._~ are not escaped when paths are looked at");
                }
                rest = after;
            }
            byte if byte.is_ascii_alphanumeric() || OF_PATHS.as_bytes().contains(byte) => {}
            _ => return Some("only letters, digits and -._~!$&'()+,;=:@/ stand for themselves in a path, others are escaped with '%'"),
        }
    }
    None
}

/// `{*}` is one segment, `{**}` is any number of them, and what follows it has neither. In Envoy's words, without braces.
fn template(text: &str, reader: &mut Reader) -> Option<Arc<str>> {
    let Some(rest) = text.strip_prefix('/') else { return reader.refuse(format_args!("{text:?} does not begin with '/'")) };
    if text.len() > LONGEST_TEMPLATE {
        return reader.refuse(format_args!("{} bytes are more than {LONGEST_TEMPLATE}", text.len()));
    }
    if text.contains('%') {
        return reader.refuse(format_args!("{text:?}: '%' cannot be together with {{*}} or {{**}}"));
    }
    let mut segments = Vec::new();
    let mut is_open = false;
    for segment in rest.split('/') {
        match segment {
            "{*}" | "{**}" if is_open => return reader.refuse(format_args!("{text:?}: nothing but text can follow {{**}}")),
            "{*}" => segments.push("*"),
            "{**}" => {
                is_open = true;
                segments.push("**");
            }
            literal if literal.contains(['{', '}', '*']) => {
                return reader.refuse(format_args!("{text:?}: a segment is a text, {{*}} or {{**}}"));
            }
            literal if literal.contains(EITHER_WAY) => {
                return reader.refuse(format_args!("{text:?}: {literal:?} can be written in two ways, which a template does not see"));
            }
            literal => segments.push(literal),
        }
    }
    let template = format!("/{}", segments.join("/"));
    match never(&template) {
        Some(problem) => reader.refuse(format_args!("{text:?}: {problem}")),
        None => Some(template.into()),
    }
}
