//! Tokens of requests: `RequestAuthentication`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::authentication::ROOT_NAMESPACE;
use crate::model::name::Name;
use crate::model::service::{Labels, selects};
use crate::model::workload::Workload;

/// A `RequestAuthentication`: whose tokens workloads believe. A request without one passes; who needs one says an
/// `AuthorizationPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestAuthentication {
    /// Its name; in the root namespace it holds for all.
    pub name: Name,
    /// How often it was changed.
    pub generation: u64,
    /// Labels of the workloads that it is for; `None`: all.
    pub selector: Option<Labels>,
    /// One for each issuer.
    pub rules: Vec<TokenRule>,
    /// It could not be read: nobody knows which tokens it would refuse, and no request passes.
    pub is_broken: bool,
}

/// Tokens of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRule {
    /// `iss` of its tokens.
    pub issuer: Arc<str>,
    /// One of these is in `aud`; empty: any.
    pub audiences: BTreeSet<Arc<str>>,
    /// Keys that its tokens are signed with.
    pub keys: Keys,
    /// Headers that have them, and what stands before them there.
    pub headers: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Query parameters that have them.
    pub parameters: BTreeSet<Arc<str>>,
    /// Cookies that have them.
    pub cookies: BTreeSet<Arc<str>>,
    /// The application sees the token, too.
    pub forward: bool,
    /// A header for all that the token says.
    pub payload_header: Option<Arc<str>>,
    /// Headers for claims.
    pub claim_headers: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Headers that nobody may say anything in: another rule would have.
    pub taken_headers: BTreeSet<Arc<str>>,
    /// Claims that are lists of words.
    pub word_lists: BTreeSet<Arc<str>>,
}

impl TokenRule {
    /// Headers that its tokens write, and nobody else.
    pub fn written(&self) -> impl Iterator<Item = &Arc<str>> {
        self.claim_headers.iter().map(|(name, _)| name).chain(&self.taken_headers).chain(&self.payload_header)
    }
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A set of keys (RFC 7517).
    Here(Arc<str>),
    /// At a server.
    At(KeyServer),
}

/// A server that has keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyServer {
    /// Where exactly.
    pub uri: Arc<str>,
    /// By TLS.
    pub tls: bool,
    /// Its name, or its address.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// How long fetching may take.
    pub timeout: Duration,
}

impl RequestAuthentication {
    /// Whether it is for a workload.
    pub fn concerns(&self, workload: &Workload) -> bool {
        let reaches = *self.name.namespace == *ROOT_NAMESPACE || self.name.namespace == workload.name.namespace;
        reaches && self.selector.as_ref().is_none_or(|selector| selects(selector, &workload.labels))
    }
}

/// What a workload believes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Believed<'a> {
    /// One for each issuer.
    pub rules: Vec<TokenRule>,
    /// Rules that do not go with one that comes before: whose they are, and of which issuer.
    pub conflicts: Vec<(&'a Name, Arc<str>)>,
    /// Who could not be read.
    pub broken: Vec<&'a Name>,
}

/// All that several say for one workload, in their order. A proxy knows an issuer by its name alone: what is said of one issuer becomes one rule,
/// with the keys of the first who speaks of it.
pub fn believed<'a>(all: impl Iterator<Item = &'a Arc<RequestAuthentication>>) -> Believed<'a> {
    let mut believed = Believed::default();
    for one in all {
        if one.is_broken {
            believed.broken.push(&one.name);
        }
        for rule in &one.rules {
            let Some(known) = believed.rules.iter_mut().find(|known| known.issuer == rule.issuer) else {
                believed.rules.push(rule.clone());
                continue;
            };
            if !known.join(rule) {
                believed.conflicts.push((&one.name, Arc::clone(&rule.issuer)));
            }
        }
    }
    believed
}

impl TokenRule {
    /// Takes over what another says of the same issuer. Whether it goes with this one; if not, its tokens are looked for all the same,
    /// and what only they could say in a header, nobody says.
    fn join(&mut self, other: &Self) -> bool {
        self.headers.extend(other.headers.iter().cloned());
        self.parameters.extend(other.parameters.iter().cloned());
        self.cookies.extend(other.cookies.iter().cloned());
        let mut payloads = self.payload_header.iter().zip(&other.payload_header);
        if !self.keys.are(&other.keys) || payloads.any(|(own, other)| own != other) {
            let claims = other.claim_headers.iter().map(|(name, _)| name);
            self.taken_headers.extend(claims.chain(&other.payload_header).cloned());
            return false;
        }
        if self.audiences.is_empty() || other.audiences.is_empty() {
            self.audiences.clear();
        } else {
            self.audiences.extend(other.audiences.iter().cloned());
        }
        self.forward |= other.forward;
        self.payload_header = self.payload_header.take().or_else(|| other.payload_header.clone());
        self.claim_headers.extend(other.claim_headers.iter().cloned());
        self.word_lists.extend(other.word_lists.iter().cloned());
        true
    }
}

impl Keys {
    fn are(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here(own), Self::Here(other)) => own == other,
            (Self::At(own), Self::At(other)) => own.uri == other.uri,
            (Self::Here(_), Self::At(_)) | (Self::At(_), Self::Here(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(issuer: &str, keys: &str, audiences: &[&str]) -> TokenRule {
        TokenRule {
            issuer: issuer.into(),
            audiences: audiences.iter().map(|one| Arc::from(*one)).collect(),
            keys: Keys::Here(keys.into()),
            headers: BTreeSet::from([("authorization".into(), "Bearer ".into())]),
            parameters: BTreeSet::new(),
            cookies: BTreeSet::new(),
            forward: false,
            payload_header: None,
            claim_headers: BTreeSet::new(),
            taken_headers: BTreeSet::new(),
            word_lists: BTreeSet::new(),
        }
    }

    fn object(name: &str, rules: Vec<TokenRule>) -> Arc<RequestAuthentication> {
        let name = Name::new("shop", name);
        Arc::new(RequestAuthentication { name, generation: 0, selector: None, rules, is_broken: false })
    }

    #[test]
    fn what_is_said_of_one_issuer_is_one_rule() {
        let mut second = rule("a", "k", &["y"]);
        second.headers = BTreeSet::from([("x-token".into(), "".into())]);
        second.claim_headers = BTreeSet::from([("x-user".into(), "sub".into())]);
        second.forward = true;
        let all = [object("1", vec![rule("a", "k", &["x"]), rule("b", "l", &["x"])]), object("2", vec![second, rule("b", "l", &[])])];
        let believed = believed(all.iter());
        assert!(believed.conflicts.is_empty() && believed.broken.is_empty());
        let [a, b] = &believed.rules[..] else { panic!("{believed:?}") };
        assert_eq!((a.audiences.len(), a.headers.len(), a.claim_headers.len(), a.forward), (2, 2, 1, true));
        assert!(b.audiences.is_empty(), "one of them takes any");
    }

    #[test]
    fn keys_of_an_issuer_are_those_of_the_first_who_speaks_of_it() {
        let mut second = rule("a", "other", &[]);
        second.parameters = BTreeSet::from(["t".into()]);
        second.claim_headers = BTreeSet::from([("x-user".into(), "sub".into())]);
        second.payload_header = Some("x-payload".into());
        let all = [object("1", vec![rule("a", "k", &["x"])]), object("2", vec![second])];
        let believed = believed(all.iter());
        assert_eq!(believed.conflicts, [(&Name::new("shop", "2"), Arc::from("a"))]);
        let [a] = &believed.rules[..] else { panic!("{believed:?}") };
        assert_eq!((&a.keys, a.audiences.len()), (&Keys::Here("k".into()), 1));
        assert!(a.parameters.contains("t") && a.claim_headers.is_empty(), "a forged token is not passed over");
        assert!(a.taken_headers.contains("x-user") && a.taken_headers.contains("x-payload"), "nobody says what only it could");
    }
}
