//! `RequestAuthentication` into the model. It says whose word counts: whatever cannot be held to is refused, and nothing is passed over.

/// Sets of keys.
mod keys;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use serde_json::Value;

use crate::model::name::Name;
use crate::model::token::{KeyServer, Keys, RequestAuthentication, TokenRule};
use crate::source::manifest::custom::WorkloadSelector;
use crate::source::manifest::custom::token as written;
use crate::source::manifest::reader::Reader;
use crate::source::manifest::{security, text};

/// As Istio: requests wait for that.
const TIMEOUT: Duration = Duration::from_secs(5);
/// As Istio.
const WORD_LISTS: [&str; 2] = ["scope", "permission"];

/// What is read of metadata.
#[derive(Default, Deserialize)]
struct Metadata {
    generation: Option<u64>,
}

/// A `RequestAuthentication`.
pub(super) fn request_authentication(name: &Name, value: &Value, reader: &mut Reader) -> Option<RequestAuthentication> {
    let metadata: Metadata = reader.shape(value, "metadata")?;
    let spec: written::RequestAuthenticationSpec = reader.shape(value, "spec")?;
    reader.at("spec", |reader| {
        for (field, is_said) in [("targetRef", spec.target_ref.is_some()), ("targetRefs", spec.target_refs.is_some())] {
            if is_said {
                reader.refuse_at::<()>(field, "not supported: it is for gateways; a selector says which workloads");
            }
        }
        let rules = reader.each("jwtRules", &spec.jwt_rules, rule);
        for (at, rule) in rules.iter().enumerate() {
            if rules.iter().take(at).any(|other| other.issuer == rule.issuer) {
                reader.refuse_at::<()>("jwtRules", format_args!("the issuer {:?} is there twice", rule.issuer));
            }
        }
        let selector = security::selector(spec.selector.as_ref());
        Some(RequestAuthentication {
            name: name.clone(),
            generation: metadata.generation.unwrap_or_default(),
            selector,
            rules,
            is_broken: false,
        })
    })
}

/// One that is there and cannot be read: no request passes where it may be for, since nobody knows which it would refuse.
pub(super) fn stand_in(name: &Name, value: &Value) -> RequestAuthentication {
    let written = value.get("spec").and_then(|spec| spec.get("selector"));
    let labels = written.map(|selector| WorkloadSelector::deserialize(selector).unwrap_or_default());
    let selector = security::selector(labels.as_ref());
    RequestAuthentication { name: name.clone(), generation: 0, selector, rules: Vec::new(), is_broken: true }
}

fn rule(rule: &written::JwtRule, reader: &mut Reader) -> Option<TokenRule> {
    if rule.issuer.is_empty() {
        reader.refuse_at::<()>("issuer", "required");
    }
    let timeout = match &rule.timeout {
        None => Some(TIMEOUT),
        Some(text) => reader.at("timeout", |reader| text::wait(text, "fetch keys", reader)),
    };
    let keys = match (&rule.jwks_uri, &rule.jwks) {
        (Some(_), Some(_)) => reader.refuse_at("jwks", "not with jwksUri, in place of which it would be"),
        (None, None) => reader.refuse_at("jwksUri", "either this or jwks is required: keys are not looked for at the issuer"),
        (Some(uri), None) => reader.at("jwksUri", |reader| server(uri, timeout?, reader)).map(Keys::At),
        (None, Some(set)) => reader.at("jwks", |reader| keys::check(set, reader)).map(|()| Keys::Here(set.as_str().into())),
    };
    let mut places = places_of(rule, reader);
    if rule.from_headers.is_none() && rule.from_params.is_none() && rule.from_cookies.is_none() {
        places.headers.insert(("authorization".into(), "Bearer ".into()));
        places.parameters.insert("access_token".into());
    }
    let payload_header = match &rule.output_payload_to_header {
        None => None,
        Some(name) => Some(reader.at("outputPayloadToHeader", |reader| header_to_set(name, reader))?),
    };
    let claims = rule.output_claim_to_headers.as_deref().unwrap_or_default();
    let claim_headers = reader.each("outputClaimToHeaders", claims, |one, reader| {
        let name = reader.at("header", |reader| header_to_set(&one.header, reader));
        let claim = reader.at("claim", |reader| word(&one.claim, reader));
        Some((name?, claim?))
    });
    let words = texts("spaceDelimitedClaims", rule.space_delimited_claims.as_ref(), reader);
    Some(TokenRule {
        issuer: rule.issuer.as_str().into(),
        audiences: texts("audiences", rule.audiences.as_ref(), reader),
        keys: keys?,
        headers: places.headers,
        parameters: places.parameters,
        cookies: places.cookies,
        forward: rule.forward_original_token.unwrap_or(false),
        payload_header,
        claim_headers: claim_headers.into_iter().collect(),
        taken_headers: BTreeSet::new(),
        word_lists: words.into_iter().chain(WORD_LISTS.map(Arc::from)).collect(),
    })
}

/// Where tokens are.
struct Places {
    headers: BTreeSet<(Arc<str>, Arc<str>)>,
    parameters: BTreeSet<Arc<str>>,
    cookies: BTreeSet<Arc<str>>,
}

fn places_of(rule: &written::JwtRule, reader: &mut Reader) -> Places {
    let headers = list("fromHeaders", rule.from_headers.as_ref(), reader, |header, reader| {
        let name = reader.at("name", |reader| text::header_name(&header.name, reader));
        let prefix = header.prefix.as_deref().unwrap_or_default();
        let prefix = if prefix.is_empty() { Some("".into()) } else { reader.at("prefix", |reader| text::header_value(prefix, reader)) };
        Some((name?, prefix?))
    });
    let parameters = texts("fromParams", rule.from_params.as_ref(), reader);
    let cookies = list("fromCookies", rule.from_cookies.as_ref(), reader, |name, reader| {
        text::header_name(name, reader).map(|_| Arc::from(name.as_str()))
    });
    Places { headers, parameters, cookies }
}

/// A list that is there has something in it: an empty one would be for all, and looks as if it were for none.
fn list<W, T: Ord>(field: &str, list: Option<&Vec<W>>, reader: &mut Reader, read: impl FnMut(&W, &mut Reader) -> Option<T>) -> BTreeSet<T> {
    let Some(list) = list else { return BTreeSet::new() };
    if list.is_empty() {
        reader.refuse_at::<()>(field, "it is empty: leave it out if it does not matter");
    }
    reader.each(field, list, read).into_iter().collect()
}

fn texts(field: &str, list: Option<&Vec<String>>, reader: &mut Reader) -> BTreeSet<Arc<str>> {
    self::list(field, list, reader, |text: &String, reader| word(text, reader))
}

fn word(text: &str, reader: &mut Reader) -> Option<Arc<str>> {
    if text.is_empty() { reader.refuse("it is empty") } else { Some(text.into()) }
}

fn header_to_set(name: &str, reader: &mut Reader) -> Option<Arc<str>> {
    let name = text::header_name(name, reader)?;
    if text::framing().any(|framing| *framing == *name) {
        return reader.refuse(format_args!("{name:?} is not for tokens to say"));
    }
    Some(name)
}

/// A server that has keys.
fn server(text: &str, timeout: Duration, reader: &mut Reader) -> Option<KeyServer> {
    let uri: Option<Uri> = text.parse().ok().filter(|_| !text.contains('#'));
    let Some((uri, authority)) = uri.and_then(|uri| uri.authority().cloned().map(|authority| (uri, authority))) else {
        return reader.refuse(format_args!("{text:?} is not an address such as https://issuer.example/keys"));
    };
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return reader.refuse(format_args!("{text:?}: keys are fetched by http and https")),
    };
    if authority.as_str().contains('@') {
        return reader.refuse(format_args!("{text:?}: no name and password can be in it"));
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    if is_address && tls {
        return reader.refuse(format_args!("{text:?}: https needs a name, which the server's certificate has"));
    }
    let host = if is_address { Some(Arc::from(bare)) } else { text::subdomain(&bare.to_ascii_lowercase(), reader) };
    let usual = if tls { 443 } else { 80 };
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => Some(usual),
        rest => rest.and_then(|rest| rest.strip_prefix(':')).and_then(|port| port.parse().ok()).filter(|port| *port > 0),
    };
    let Some(port) = port else { return reader.refuse(format_args!("{text:?}: its port is not 1 to 65535")) };
    Some(KeyServer { uri: text.into(), tls, host: host?, port, timeout })
}

#[cfg(test)]
mod tests;
