//! Who a workload is, as certificates say it: a SPIFFE ID.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::limits::Limits;

/// Longer ones are nobody's.
const LONGEST: usize = 2048;
/// The namespace of the control plane's own identity.
pub const CONTROL_PLANE_NAMESPACE: &str = "ninon-system";
/// The account of the control plane's own identity.
pub const CONTROL_PLANE_ACCOUNT: &str = "ninon";

/// `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Whose word it is.
    pub trust_domain: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// The account in it.
    pub account: Arc<str>,
}

/// What a certificate says that was found to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub identity: Identity,
    /// The only workload that it is for; any of the account, if there is none.
    pub workload: Option<Arc<str>>,
    /// What its bearer may register.
    pub limits: Limits,
    /// Its number, in hexadecimal digits.
    pub serial: String,
    /// It holds from then.
    pub not_before: SystemTime,
    /// It holds until then.
    pub not_after: SystemTime,
}

/// It is no identity of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoIdentity(String);

impl fmt::Display for NoIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT", self.0)
    }
}

impl std::error::Error for NoIdentity {}

impl Identity {
    /// Of an account in a namespace.
    ///
    /// # Errors
    /// If one of the parts cannot be part of a SPIFFE ID.
    pub fn new(trust_domain: &str, namespace: &str, account: &str) -> Result<Self, NoIdentity> {
        format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}").parse()
    }

    /// The control plane itself. Nobody else is given it.
    pub fn control_plane(trust_domain: &str) -> Self {
        let (namespace, account) = (CONTROL_PLANE_NAMESPACE.into(), CONTROL_PLANE_ACCOUNT.into());
        Self { trust_domain: trust_domain.into(), namespace, account }
    }

    /// Whether it is the control plane's.
    pub fn is_control_planes(&self) -> bool {
        is_control_planes(&self.namespace, &self.account)
    }
}

/// Whether the account of a namespace is the control plane's own.
pub fn is_control_planes(namespace: &str, account: &str) -> bool {
    namespace == CONTROL_PLANE_NAMESPACE && account == CONTROL_PLANE_ACCOUNT
}

/// Whether a text can be a trust domain: a DNS name in lower case, which name constraints can be about.
pub fn is_trust_domain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        bytes.len() <= 63
            && ends.into_iter().all(|end| end.is_some_and(|byte| is_plain(*byte)))
            && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Part of a path, as SPIFFE allows it.
fn is_segment(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(text, "" | "." | "..") && text.bytes().all(is_plain)
}

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let parts = || {
            let rest = text.strip_prefix("spiffe://").filter(|_| text.len() <= LONGEST)?;
            let mut parts = rest.split('/');
            let (domain, ns, namespace) = (parts.next()?, parts.next()?, parts.next()?);
            let (sa, account) = (parts.next()?, parts.next()?);
            let is_one = (ns, sa, parts.next()) == ("ns", "sa", None) && is_trust_domain(domain);
            let is_one = is_one && is_segment(namespace) && is_segment(account);
            is_one.then(|| Self { trust_domain: domain.into(), namespace: namespace.into(), account: account.into() })
        };
        // What is shown of it has an end.
        parts().ok_or_else(|| NoIdentity(text.chars().take(200).collect()))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let identity = Identity::new("cluster.local", "shop", "cart").unwrap();
        assert_eq!(identity.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
        assert_eq!(identity.to_string().parse(), Ok(identity));
        assert!(Identity::control_plane("a.b").is_control_planes());
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        let long = format!("spiffe://a/ns/{}/sa/b", "x".repeat(LONGEST));
        for wrong in [
            "",
            "spiffe://",
            "SPIFFE://a/ns/b/sa/c",
            "spiffe://A/ns/b/sa/c",
            "spiffe://a/ns/b/sa/c/",
            "spiffe://a/ns/b/sa/c/d",
            "spiffe://a/ns//sa/c",
            "spiffe://a/ns/../sa/c",
            "spiffe://a/ns/b/sa/c?x",
            "spiffe://a/ns/b%2fc/sa/c",
            "spiffe://a:80/ns/b/sa/c",
            "spiffe://me@a/ns/b/sa/c",
            "spiffe:///ns/b/sa/c",
            "spiffe://a/sa/b/ns/c",
            "https://a/ns/b/sa/c",
            " spiffe://a/ns/b/sa/c",
            long.as_str(),
        ] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong}");
        }
    }
}
