//! Callers: who asks for a certificate, and by what they are known.

use std::fmt;
use std::time::SystemTime;

use crate::authority::certify::Refused;
use crate::authority::issuer::Later;
use crate::model::identity::{Identity, Verified, is_control_planes};
use crate::model::limits::Limits;
use crate::token::{self, Tokens};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub identity: Identity,
    /// The only workload that it may be.
    pub workload: Option<String>,
    /// Which labels it may register.
    pub limits: Limits,
    /// What it is known by.
    pub by: By,
    /// The certificate, if it is known by one.
    pub shown: Option<Verified>,
}

/// What a caller is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A token: which one.
    Token(String),
    /// The token of a service account of Kubernetes: whose.
    ServiceAccount(String),
    /// A certificate: its number.
    Certificate(String),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => write!(f, "token {id}"),
            Self::ServiceAccount(name) => write!(f, "service account {name}"),
            Self::Certificate(serial) => write!(f, "certificate {serial}"),
        }
    }
}

/// Knows callers by what they show in `authorization: Bearer ...`.
pub trait Authenticator: Send + Sync {
    /// Whether what is shown is of this kind.
    fn knows(&self, shown: &str) -> bool;

    /// Whether somebody outside is asked about it: so it is asked about only where nothing else says who it is, and not as often as a
    /// stranger likes.
    fn asks_others(&self) -> bool {
        false
    }

    /// Who shows it.
    ///
    /// # Errors
    /// Why it proves nothing.
    fn authenticate<'a>(&'a self, shown: &'a str, trust_domain: &'a str) -> Later<'a, Result<Caller, Refused>>;

    /// The caller is about to be given a certificate for a key.
    ///
    /// # Errors
    /// Why it may not be.
    fn take<'a>(&'a self, caller: &'a Caller, key: &'a str) -> Later<'a, Result<(), Refused>>;
}

/// Who shows a certificate that was verified, and still holds.
pub(super) fn by_certificate(shown: &Verified, now: SystemTime) -> Result<Caller, Refused> {
    if shown.not_after <= now {
        let at = humantime::format_rfc3339_seconds(shown.not_after);
        return Err(Refused::Unauthenticated(format!("the certificate {} expired at {at}", shown.serial)));
    }
    let workload = shown.workload.as_deref().map(ToOwned::to_owned);
    let (identity, by) = (shown.identity.clone(), By::Certificate(shown.serial.clone()));
    Ok(Caller { identity, workload, limits: shown.limits.clone(), by, shown: Some(shown.clone()) })
}

impl Authenticator for Tokens {
    fn knows(&self, shown: &str) -> bool {
        shown.starts_with(token::PREFIX)
    }

    fn authenticate<'a>(&'a self, shown: &'a str, trust_domain: &'a str) -> Later<'a, Result<Caller, Refused>> {
        Box::pin(async move {
            let token = self.known(shown).map_err(refused)?;
            if token.is_expired(SystemTime::now()) {
                return Err(refused(token::Refused::Expired(token.expires)));
            }
            let (namespace, account) = (&token.namespace, &token.service_account);
            if is_control_planes(namespace, account) {
                return Err(Refused::Denied(format!("{namespace}/{account} is the control plane, and nobody else")));
            }
            let identity = Identity::new(trust_domain, namespace, account);
            let identity = identity.map_err(|error| Refused::Denied(format!("the token {} is for nobody: {error}", token.id)))?;
            Ok(Caller { identity, workload: token.workload, limits: token.limits, by: By::Token(token.id), shown: None })
        })
    }

    fn take<'a>(&'a self, caller: &'a Caller, key: &'a str) -> Later<'a, Result<(), Refused>> {
        Box::pin(async move {
            match &caller.by {
                By::Token(id) => self.take_for_key(id, key, SystemTime::now()).await.map_err(refused),
                By::ServiceAccount(_) | By::Certificate(_) => Ok(()),
            }
        })
    }
}

fn refused(refused: token::Refused) -> Refused {
    let words = refused.to_string();
    match refused {
        token::Refused::Unknown | token::Refused::NotSigned(_) | token::Refused::Expired(_) => Refused::Unauthenticated(words),
        token::Refused::NotFor(_) | token::Refused::UsedUp(_) => Refused::Denied(words),
        token::Refused::Store(_) => Refused::Unavailable(words),
    }
}
