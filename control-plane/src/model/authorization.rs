//! Who may do what: `AuthorizationPolicy`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::authentication::ROOT_NAMESPACE;
use crate::model::name::Name;
use crate::model::service::{Labels, selects};
use crate::model::workload::Workload;

/// An `AuthorizationPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// Its name; in the root namespace it holds for all.
    pub name: Name,
    /// How often it was changed.
    pub generation: u64,
    /// Labels of the workloads that it is for; `None`: all.
    pub selector: Option<Labels>,
    /// What a rule that fits means.
    pub action: Action,
    /// One of these has to fit.
    pub rules: Vec<Rule>,
    /// It could not be read: what it is instead lets in nobody whom it might keep out.
    pub is_broken: bool,
}

/// What a rule that fits means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Allowed; what no rule of any policy fits is denied.
    Allow,
    /// Denied, whatever else is allowed.
    Deny,
    /// It is counted and logged.
    Audit,
    /// The extension provider of this name is asked, before anything else is.
    Custom(Arc<str>),
}

/// Somebody does something: one of each fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Who: all of one of these; empty is anybody.
    pub from: Vec<Vec<Who>>,
    /// What: all of one of these; empty is anything.
    pub to: Vec<Vec<What>>,
}

/// Something about who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client's identity, without `spiffe://`.
    Principal(Test<Pattern>),
    /// The namespace in it.
    Namespace(Test<Pattern>),
    /// The account, with its namespace.
    Account(Test<Name>),
    /// Where the connection comes from.
    Ip(Test<Range>),
    /// Issuer and subject of the request's token, with a slash between them.
    TokenPrincipal(Test<Pattern>),
    /// A claim of the request's token, by the names that lead to it.
    Claim(Vec<Arc<str>>, Test<Pattern>),
}

/// Something about what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Host that a request names.
    Host(Test<Pattern>),
    /// Method of a request.
    Method(Test<Pattern>),
    /// Path of a request.
    Path(Test<Path>),
    /// A header of a request.
    Header(Arc<str>, Test<Pattern>),
    /// The workload's port.
    Port(Test<u16>),
    /// The workload's address.
    Ip(Test<Range>),
    /// The server name that a TLS client asks for.
    ServerName(Test<Pattern>),
}

/// One of these, unless there are none, and none of those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test<T> {
    /// One of these.
    pub one_of: Vec<T>,
    /// None of these.
    pub none_of: Vec<T>,
}

/// Which texts are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Any, but not none.
    Present,
    /// This one.
    Exact(Arc<str>),
    /// Those that begin so.
    Prefix(Arc<str>),
    /// Those that end so.
    Suffix(Arc<str>),
}

/// Which paths are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// As texts.
    Text(Pattern),
    /// With `*` for a segment and `**` for any number of them.
    Template(Arc<str>),
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its first bits count.
    pub address: IpAddr,
    /// So many.
    pub length: u8,
}

impl AuthorizationPolicy {
    /// Whether it is for a workload.
    pub fn concerns(&self, workload: &Workload) -> bool {
        let reaches = *self.name.namespace == *ROOT_NAMESPACE || self.name.namespace == workload.name.namespace;
        reaches && self.selector.as_ref().is_none_or(|selector| selects(selector, &workload.labels))
    }
}

impl Pattern {
    /// Whether a text, which is there, is meant.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(begin) => text.starts_with(&**begin),
            Self::Suffix(end) => text.ends_with(&**end),
        }
    }
}

impl<T> Test<T> {
    /// Whether something is meant, by what each value says.
    fn holds(&self, fits: impl Fn(&T) -> bool) -> bool {
        (self.one_of.is_empty() || self.one_of.iter().any(&fits)) && !self.none_of.iter().any(fits)
    }
}

impl Path {
    fn may_be(&self, path: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.fits(path),
            Self::Template(_) => true,
        }
    }
}

impl Action {
    /// Who is asked, if somebody is.
    pub fn provider(&self) -> Option<&str> {
        match self {
            Self::Custom(name) => Some(name),
            Self::Allow | Self::Deny | Self::Audit => None,
        }
    }
}

impl Rule {
    /// Whether it asks for something that only requests have.
    pub fn is_of_requests(&self) -> bool {
        self.is_of_tokens() || self.to.iter().flatten().any(What::is_of_requests)
    }

    /// Whether it may fit a request at a port of the workload, of which the method and the path may be known.
    pub fn can_be_at(&self, port: u16, known: Option<(&str, &str)>) -> bool {
        let may = |what: &What| match (what, known) {
            (What::Port(ports), _) => ports.holds(|one| *one == port),
            (What::Method(methods), Some((method, _))) => methods.holds(|pattern| pattern.fits(method)),
            (What::Path(paths), Some((_, path))) => paths.one_of.is_empty() || paths.one_of.iter().any(|one| one.may_be(path)),
            _ => true,
        };
        self.to.is_empty() || self.to.iter().any(|all| all.iter().all(may))
    }

    /// Headers that it asks for.
    pub fn headers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.to.iter().flatten().filter_map(|what| if let What::Header(name, _) = what { Some(name) } else { None })
    }

    /// Whether it asks what a token says.
    pub fn is_of_tokens(&self) -> bool {
        self.from.iter().flatten().any(Who::is_of_requests)
    }

    /// Whether there is somebody whom it fits only if he has a token.
    pub fn asks_for_token(&self) -> bool {
        self.from.iter().flatten().any(|one| match one {
            Who::TokenPrincipal(test) | Who::Claim(_, test) => !test.one_of.is_empty(),
            Who::Principal(_) | Who::Namespace(_) | Who::Account(_) | Who::Ip(_) => false,
        })
    }

    /// Whether there is somebody whom it fits only if he shows who he is.
    pub fn asks_who(&self) -> bool {
        self.from.iter().flatten().any(|one| match one {
            Who::Principal(test) | Who::Namespace(test) => !test.one_of.is_empty(),
            Who::Account(test) => !test.one_of.is_empty(),
            Who::Ip(_) | Who::TokenPrincipal(_) | Who::Claim(..) => false,
        })
    }
}

impl Who {
    /// Whether only requests have it.
    pub const fn is_of_requests(&self) -> bool {
        match self {
            Self::TokenPrincipal(_) | Self::Claim(..) => true,
            Self::Principal(_) | Self::Namespace(_) | Self::Account(_) | Self::Ip(_) => false,
        }
    }
}

impl What {
    /// Whether only requests have it.
    pub const fn is_of_requests(&self) -> bool {
        match self {
            Self::Host(_) | Self::Method(_) | Self::Path(_) | Self::Header(..) => true,
            Self::Port(_) | Self::Ip(_) | Self::ServerName(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoints::Condition;
    use crate::model::workload::{Locality, Sidecar};

    fn labels(app: &str) -> Labels {
        Labels::from([("app".to_owned(), app.to_owned())])
    }

    fn concerns(namespace: &str, selector: Option<Labels>) -> bool {
        let workload = Workload {
            name: Name::new("shop", "cart-1"),
            labels: labels("cart"),
            addresses: Vec::new(),
            ports: Vec::new(),
            service_account: "cart".into(),
            locality: Locality::default(),
            condition: Condition::Ready,
            sidecar: Sidecar::default(),
        };
        let (name, action) = (Name::new(namespace, "a"), Action::Allow);
        AuthorizationPolicy { name, generation: 0, selector, action, rules: Vec::new(), is_broken: false }.concerns(&workload)
    }

    #[test]
    fn a_policy_is_for_its_namespace_and_one_of_the_root_namespace_for_all() {
        for namespace in ["shop", ROOT_NAMESPACE] {
            assert!(concerns(namespace, None), "{namespace}");
            assert!(concerns(namespace, Some(labels("cart"))), "{namespace}");
            assert!(!concerns(namespace, Some(labels("web"))), "{namespace}");
        }
        assert!(!concerns("bank", None));
        assert!(!concerns("bank", Some(labels("cart"))));
    }
}
