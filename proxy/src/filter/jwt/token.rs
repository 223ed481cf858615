use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::config::jwt::Provider;
use crate::config::jwt::keys::{Algorithm, Key};
use crate::filter::jwt::failure::Failure;
use crate::filter::jwt::{signature, strict};

/// Longer tokens are not looked at: no header has more room.
const LONGEST: usize = 64 * 1024;

/// A token as it was read; nobody has verified it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    text: String,
    payload: Vec<u8>,
    claims: Value,
    /// `None`: one that signs with a secret, which no key here is.
    algorithm: Option<Algorithm>,
    key: Option<String>,
    signature: Vec<u8>,
    /// What is signed are so many bytes of the text.
    signed: usize,
    times: Times,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    not_before: Option<Duration>,
    expires: Option<Duration>,
}

impl Token {
    /// Reads one (RFC 7515, RFC 7519).
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        if text.len() > LONGEST {
            return Err(Failure::Form);
        }
        let (signed, last) = text.rsplit_once('.').ok_or(Failure::Form)?;
        let (first, middle) = signed.split_once('.').filter(|(_, middle)| !middle.contains('.')).ok_or(Failure::Form)?;
        if first.is_empty() || middle.is_empty() || last.is_empty() {
            return Err(Failure::Form);
        }
        let decode = |part: &str, failure| URL_SAFE_NO_PAD.decode(part).map_err(|_| failure);
        let header = strict::object(&decode(first, Failure::HeaderCoding)?).ok_or(Failure::HeaderJson)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Failure::NoAlgorithm)?;
        let algorithm = match algorithm {
            "HS256" | "HS384" | "HS512" => None,
            name => Some(Algorithm::named(name).ok_or(Failure::Algorithm)?),
        };
        let key = text_of(&header, "kid", Failure::KeyId)?;
        // RFC 7515, section 4.1.11: what must be understood, and is not. RFC 7797: the payload is another.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Failure::Critical);
        }
        let payload = decode(middle, Failure::PayloadCoding)?;
        let claims = strict::object(&payload).ok_or(Failure::PayloadJson)?;
        for (name, failure) in [("iss", Failure::Text("iss")), ("sub", Failure::Text("sub")), ("jti", Failure::Text("jti"))] {
            text_of(&claims, name, failure)?;
        }
        time(&claims, "iat")?;
        let times = Times { not_before: time(&claims, "nbf")?, expires: time(&claims, "exp")? };
        audiences_are_texts(&claims)?;
        let signature = decode(last, Failure::SignatureCoding)?;
        let signed = signed.len();
        Ok(Self { text: text.to_owned(), payload, claims: Value::Object(claims), algorithm, key, signature, signed, times })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) fn claims(&self) -> &Value {
        &self.claims
    }

    /// Whether the provider is the one that it names.
    pub(super) fn is_of(&self, provider: &Provider) -> bool {
        provider.issuer.as_deref().is_none_or(|issuer| self.claims.get("iss").and_then(Value::as_str) == Some(issuer))
    }

    /// What it says fits the provider. Whether it is the provider's own is asked of [`Self::is_signed`].
    pub(super) fn fits(&self, provider: &Provider, audiences: &[String], now: SystemTime) -> Result<(), Failure> {
        if !self.is_of(provider) {
            return Err(Failure::UnknownIssuer);
        }
        if let Some(wanted) = &provider.subjects {
            let subject = self.claims.get("sub").and_then(Value::as_str).unwrap_or_default();
            if !wanted.matches(subject.as_bytes()) {
                return Err(Failure::Subject);
            }
        }
        self.times.fit(provider, now)?;
        let is_meant = |audience: &str| audiences.iter().any(|wanted| same_audience(wanted, audience));
        if !audiences.is_empty() && !self.audiences().any(is_meant) {
            return Err(Failure::Audience);
        }
        Ok(())
    }

    /// Whether one of these keys made it.
    pub(super) fn is_signed(&self, keys: &[Key]) -> Result<(), Failure> {
        let message = self.text.as_bytes().get(..self.signed).unwrap_or_default();
        let mut failure = Failure::NoKey;
        for key in keys {
            let is_other = self.key.as_deref().zip(key.id.as_deref()).is_some_and(|(named, id)| named != id);
            if is_other || key.algorithm.is_some_and(|known| Some(known) != self.algorithm) {
                continue;
            }
            let verifies = |algorithm| signature::verifies(&key.public, algorithm, message, &self.signature);
            if self.algorithm.is_some_and(verifies) {
                return Ok(());
            }
            failure = Failure::Signature;
        }
        Err(failure)
    }

    fn audiences(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self.claims.get("aud") {
            Some(Value::String(one)) => (Some(one.as_str()), None),
            Some(Value::Array(several)) => (None, Some(several)),
            _ => (None, None),
        };
        one.into_iter().chain(several.into_iter().flatten().filter_map(Value::as_str))
    }
}

impl Times {
    fn fit(&self, provider: &Provider, now: SystemTime) -> Result<(), Failure> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.not_before.is_some_and(|begin| now.saturating_add(provider.clock_skew) < begin) {
            return Err(Failure::NotYetValid);
        }
        if self.expires.is_some_and(|end| now > end.saturating_add(provider.clock_skew)) {
            return Err(Failure::Expired);
        }
        match (self.expires, provider.max_lifetime) {
            (None, None) if provider.require_expiration => Err(Failure::NoEnd),
            (None, Some(_)) => Err(Failure::NoEnd),
            (None, None) | (Some(_), None) => Ok(()),
            (Some(end), Some(limit)) => {
                if end.saturating_sub(now) > limit {
                    return Err(Failure::Lifetime);
                }
                Ok(())
            }
        }
    }
}

fn text_of(object: &Map<String, Value>, name: &str, failure: Failure) -> Result<Option<String>, Failure> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(failure),
    }
}

/// Seconds since 1970, whole ones or not.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Duration>, Failure> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(Failure::Time(name))?;
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| Failure::TimeRange(name))
}

fn audiences_are_texts(claims: &Map<String, Value>) -> Result<(), Failure> {
    match claims.get("aud") {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => Ok(()),
        Some(_) => Err(Failure::AudienceForm),
    }
}

/// As Envoy: without scheme and a slash at the end.
fn same_audience(wanted: &str, audience: &str) -> bool {
    bare(wanted) == bare(audience)
}

fn bare(audience: &str) -> &str {
    let without_scheme = audience.strip_prefix("https://").or_else(|| audience.strip_prefix("http://")).unwrap_or(audience);
    without_scheme.strip_suffix('/').unwrap_or(without_scheme)
}
