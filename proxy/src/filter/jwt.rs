/// What can be wrong.
mod failure;
/// Where tokens are.
mod places;
/// Who made a token.
mod signature;
/// JSON that says one thing.
mod strict;
/// Whether a token is good.
mod token;

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::header::HeaderValue;
use serde_json::Value;

use crate::config::jwt::keys::Key;
use crate::config::jwt::{JwtAuthentication, Provider, Requirement};
use crate::exchange::RequestHead;

pub use failure::Failure;
use token::Token;

/// What is known once a request may go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verified {
    /// Tokens that were good: which provider's, and what they say.
    good: Vec<(usize, Token)>,
    /// The route was chosen by what the client said in a header that is not its to set.
    pub was_spoofed: bool,
}

/// A provider's keys at this moment.
#[derive(Clone, Debug)]
pub enum KeysNow {
    /// These.
    Known(Arc<[Key]>),
    /// They are being fetched.
    Awaited,
    /// They could not be fetched.
    Failed,
}

/// What is decided about a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may go on.
    Good(Verified),
    /// It may not.
    Bad(Failure),
    /// It depends on the keys of this provider, which are being fetched.
    NeedsKeys(usize),
}

/// Decides. Nothing of the request is changed. `keys` are asked for by the provider's place.
pub fn verify(
    filter: &JwtAuthentication,
    requirement: &Requirement,
    request: &RequestHead,
    now: SystemTime,
    keys: &dyn Fn(usize) -> KeysNow,
) -> Verdict {
    let mut verified = Verified::default();
    let check = Check { filter, request, now, keys, awaited: Cell::new(None) };
    let fulfilled = check.fulfil(requirement, None, &mut verified);
    match (check.awaited.get(), fulfilled) {
        (Some(provider), _) => Verdict::NeedsKeys(provider),
        (None, Ok(())) => Verdict::Good(verified),
        (None, Err(failure)) => Verdict::Bad(failure),
    }
}

/// Removes what only a provider may say; whoever else says it is not to be believed.
///
/// Returns whether there was one of a provider that has the route chosen again.
pub fn sanitize(filter: &JwtAuthentication, request: &mut RequestHead) -> bool {
    let mut removed = false;
    for name in filter.headers_of_providers() {
        removed |= request.headers.remove(name).is_some();
    }
    removed && filter.providers.iter().any(|provider| provider.clear_route_cache)
}

struct Check<'a> {
    filter: &'a JwtAuthentication,
    request: &'a RequestHead,
    now: SystemTime,
    keys: &'a dyn Fn(usize) -> KeysNow,
    /// The first provider whose keys are not there yet: what else is found is worth nothing then.
    awaited: Cell<Option<usize>>,
}

impl Check<'_> {
    /// `among` are the providers whose tokens may be missing, where a list names them; else all.
    fn fulfil(&self, requirement: &Requirement, among: Option<&[usize]>, verified: &mut Verified) -> Result<(), Failure> {
        match requirement {
            Requirement::Provider(index, audiences) => self.provider(*index, audiences.as_deref(), verified),
            Requirement::All(all) => {
                let named = named(all);
                all.iter().try_for_each(|one| self.fulfil(one, Some(&named), verified))
            }
            Requirement::Any(any) => self.any(any, verified),
            Requirement::AllowMissing => self.allow_missing(among, verified),
            Requirement::AllowMissingOrFailed => {
                // What is good is told all the same; what is not is as if it were missing.
                let _good = self.allow_missing(among, verified).is_ok();
                Ok(())
            }
        }
    }

    /// The first that is fulfilled; else what went wrong with a token, rather than that there is none.
    fn any(&self, any: &[Requirement], verified: &mut Verified) -> Result<(), Failure> {
        let named = named(any);
        let mut told = Failure::Missing;
        for one in any {
            match self.fulfil(one, Some(&named), verified) {
                Ok(()) => return Ok(()),
                Err(failure @ (Failure::Missing | Failure::UnknownIssuer)) => {
                    if told == Failure::Missing {
                        told = failure;
                    }
                }
                Err(failure) => told = failure,
            }
        }
        Err(told)
    }

    fn provider(&self, index: usize, audiences: Option<&[String]>, verified: &mut Verified) -> Result<(), Failure> {
        let provider = self.filter.providers.get(index).ok_or(Failure::UnknownIssuer)?;
        let mut found = places::tokens(provider, self.request);
        // As Envoy: a token that was good for another provider, and does not go on, is there no more.
        found.retain(|text| !verified.has_taken(text, self.filter));
        if found.is_empty() {
            return Err(Failure::Missing);
        }
        if found.len() > places::MOST {
            return Err(Failure::TooMany);
        }
        // Every token in the provider's places is its, and has to be good.
        for text in found {
            let token = Token::read(&text)?;
            token.fits(provider, audiences.unwrap_or(&provider.audiences), self.now)?;
            self.signed(index, &token)?;
            verified.good.push((index, token));
        }
        Ok(())
    }

    /// Every token there is has to be good, and in a place of the provider that it names.
    fn allow_missing(&self, among: Option<&[usize]>, verified: &mut Verified) -> Result<(), Failure> {
        let mut found = Vec::new();
        for (_, provider) in self.providers(among) {
            for text in places::tokens(provider, self.request) {
                if !found.contains(&text) {
                    found.push(text);
                }
            }
            if found.len() > places::MOST {
                return Err(Failure::TooMany);
            }
        }
        let mut failed = None;
        for text in found {
            match self.of_any(&text, among) {
                Ok(good) => verified.good.push(good),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        match failed {
            Some(failure) => Err(failure),
            // Policies see one of them, and the application would be told what another says.
            None if self.are_seen_as_one(&verified.good) => Err(Failure::TooMany),
            None => Ok(()),
        }
    }

    /// Whether several tokens would be told under the same name.
    fn are_seen_as_one(&self, good: &[(usize, Token)]) -> bool {
        let names = good.iter().filter_map(|(index, _)| self.filter.providers.get(*index)?.payload_in_metadata.as_deref());
        let mut names: Vec<&str> = names.collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        names.len() < all
    }

    fn of_any(&self, text: &str, among: Option<&[usize]>) -> Result<(usize, Token), Failure> {
        let token = Token::read(text)?;
        let is_from = |provider: &Provider| places::tokens(provider, self.request).iter().any(|known| known == text);
        let found = self.providers(among).find(|(_, provider)| token.is_of(provider) && is_from(provider));
        let (index, provider) = found.ok_or(Failure::UnknownIssuer)?;
        token.fits(provider, &provider.audiences, self.now)?;
        self.signed(index, &token)?;
        Ok((index, token))
    }

    fn providers<'a>(&'a self, among: Option<&'a [usize]>) -> impl Iterator<Item = (usize, &'a Provider)> {
        self.filter.providers.iter().enumerate().filter(move |(index, _)| among.is_none_or(|among| among.contains(index)))
    }

    fn signed(&self, provider: usize, token: &Token) -> Result<(), Failure> {
        match (self.keys)(provider) {
            KeysNow::Known(keys) => token.is_signed(&keys),
            KeysNow::Failed => Err(Failure::NoKeys),
            KeysNow::Awaited => {
                self.awaited.set(self.awaited.get().or(Some(provider)));
                Err(Failure::NoKeys)
            }
        }
    }
}

/// The providers that a list names, however deep.
fn named(list: &[Requirement]) -> Vec<usize> {
    let of = |one: &Requirement| match one {
        Requirement::Provider(index, _) => vec![*index],
        Requirement::Any(list) | Requirement::All(list) => named(list),
        Requirement::AllowMissing | Requirement::AllowMissingOrFailed => Vec::new(),
    };
    list.iter().flat_map(of).collect()
}

impl Verified {
    fn has_taken(&self, text: &str, filter: &JwtAuthentication) -> bool {
        let is_taken = |index: usize| filter.providers.get(index).is_some_and(|provider| !provider.forward);
        self.good.iter().any(|(index, token)| token.text() == text && is_taken(*index))
    }

    /// Tells the upstream what the tokens say, and takes them away where it is not to see them.
    pub fn apply(&self, filter: &JwtAuthentication, request: &mut RequestHead) {
        for (index, token) in &self.good {
            let Some(provider) = filter.providers.get(*index) else { continue };
            if !provider.forward {
                places::remove(provider, token.text(), request);
            }
            if let Some((name, padded)) = &provider.forward_payload {
                let engine = if *padded { &URL_SAFE } else { &URL_SAFE_NO_PAD };
                if let Ok(value) = HeaderValue::try_from(engine.encode(token.payload())) {
                    request.headers.insert(name, value);
                }
            }
            for (name, path) in &provider.claim_headers {
                if let Some(value) = claim(token.claims(), path).and_then(shown) {
                    request.headers.append(name, value);
                }
            }
        }
    }

    /// Names and claims, for policies.
    pub fn metadata<'a>(&'a self, filter: &'a JwtAuthentication) -> impl Iterator<Item = (&'a str, Value)> {
        self.good.iter().filter_map(|(index, token)| {
            let provider = filter.providers.get(*index)?;
            let name = provider.payload_in_metadata.as_deref()?;
            let mut claims = token.claims().clone();
            for list in &provider.word_lists {
                if let Some(value) = claims.get_mut(list)
                    && let Value::String(words) = value
                {
                    *value = words.split(' ').filter(|word| !word.is_empty()).collect();
                }
            }
            Some((name, claims))
        })
    }

    /// One of the tokens may lead to another route, or what the client had in place of it has.
    pub fn clears_route(&self, filter: &JwtAuthentication) -> bool {
        self.was_spoofed
            || self.good.iter().any(|(index, _)| filter.providers.get(*index).is_some_and(|provider| provider.clear_route_cache))
    }
}

fn claim<'a>(claims: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(claims, |value, name| value.get(name))
}

/// As Envoy: text, numbers and booleans as they are, what has parts as Base64url of its JSON.
fn shown(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => URL_SAFE_NO_PAD.encode(value.to_string()),
    };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests;
