use std::net::IpAddr;

use crate::config::access::{Action, Condition, Policy, Rules};
use crate::config::address::{Address, Cidr};
use crate::config::matcher::{RequestHeaders as _, StringMatch};
use crate::exchange::{ConnectionInfo, Metadata, RequestHead, TlsInfo};

/// Who wants what.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its connection.
    pub connection: &'a ConnectionInfo,
    /// The client, as `x-forwarded-for` names it where that is trusted.
    pub remote: &'a Address,
    /// What filters before have found out.
    pub metadata: Option<&'a Metadata>,
    /// The request; `None` where a connection is decided about.
    pub request: Option<&'a RequestHead>,
}

impl<'a> Subject<'a> {
    /// A client that wants to connect.
    pub fn of_connection(connection: &'a ConnectionInfo) -> Self {
        Self { connection, remote: &connection.client, metadata: None, request: None }
    }
}

/// What rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Let through.
    pub allowed: bool,
    /// The first policy that fits.
    pub policy: Option<&'a str>,
}

impl Decision<'_> {
    /// `%RESPONSE_CODE_DETAILS%` of a denied request, `%CONNECTION_TERMINATION_DETAILS%` of a connection, as Envoy words them.
    pub fn details(&self) -> String {
        let policy = self.policy.unwrap_or("none");
        format!("rbac_access_denied_matched_policy[{}]", policy.replace(|c: char| c.is_ascii_whitespace(), "_"))
    }

    /// One sentence: which policy, and nothing of what it says.
    pub fn explanation(&self) -> String {
        match self.policy {
            Some(policy) => format!("policy {policy:?} denies it"),
            None => "no policy allows it".to_owned(),
        }
    }
}

/// Decides. What cannot be told of a client (see [`StringMatch::decides`]) is taken against it: it fits what denies, and does not
/// fit what allows.
pub fn decide<'a>(rules: &'a Rules, subject: &Subject<'_>) -> Decision<'a> {
    let doubt = rules.action == Action::Deny;
    let fits = |policy: &&Policy| policy_fits(policy, subject).unwrap_or(doubt);
    let policy = rules.policies.iter().find(fits).map(|policy| policy.name.as_str());
    let allowed = match rules.action {
        Action::Allow => policy.is_some(),
        Action::Deny => policy.is_none(),
        Action::Log => true,
    };
    Decision { allowed, policy }
}

fn policy_fits(policy: &Policy, subject: &Subject<'_>) -> Option<bool> {
    match any(&policy.permissions, subject) {
        Some(false) => Some(false),
        permitted => and(permitted, any(&policy.principals, subject)),
    }
}

/// `None` is a doubt, which is only resolved by what is certain either way.
fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        (None, _) | (_, None) => None,
    }
}

fn any(conditions: &[Condition], subject: &Subject<'_>) -> Option<bool> {
    first_certain(conditions, subject, true)
}

/// `wanted` if one condition is that; the opposite if all are, and a doubt otherwise.
fn first_certain(conditions: &[Condition], subject: &Subject<'_>, wanted: bool) -> Option<bool> {
    let mut doubt = false;
    for condition in conditions {
        match fits(condition, subject) {
            Some(fits) if fits == wanted => return Some(wanted),
            Some(_) => {}
            None => doubt = true,
        }
    }
    (!doubt).then_some(!wanted)
}

fn fits(condition: &Condition, subject: &Subject<'_>) -> Option<bool> {
    let connection = subject.connection;
    match condition {
        Condition::Any => Some(true),
        Condition::All(conditions) => first_certain(conditions, subject, false),
        Condition::OneOf(conditions) => any(conditions, subject),
        Condition::Not(condition) => fits(condition, subject).map(|fits| !fits),
        // No parser lets these through where there is no request.
        Condition::Header(header) => header.decides(subject.request?),
        Condition::Path(path) => {
            let request = subject.request?;
            if request.has_path() { path.decides(request.path_only().as_bytes()) } else { Some(false) }
        }
        Condition::PathTemplate(template) => {
            let request = subject.request?;
            Some(request.has_path() && template.regex.is_match(request.path_only().as_bytes()))
        }
        Condition::DestinationIp(range) => Some(within(range, &connection.local)),
        Condition::DestinationPort(ports) => Some(match &connection.local {
            Address::Ip(address) => ports.contains(&u32::from(address.port())),
            Address::Unix(_) => false,
        }),
        Condition::ServerName(name) => {
            let asked = connection.tls.as_ref().and_then(|tls| tls.sni.as_deref()).unwrap_or_default();
            name.decides(asked.as_bytes())
        }
        Condition::Authenticated(name) => authenticated(name.as_ref(), connection.tls.as_ref()),
        Condition::SourceIp(range) => Some(within(range, &connection.client)),
        Condition::DirectRemoteIp(range) => Some(within(range, &connection.peer)),
        Condition::RemoteIp(range) => Some(within(range, subject.remote)),
        Condition::Metadata(wanted) => Some(wanted.matches(|filter, path| subject.metadata?.get(filter, path))),
    }
}

fn within(range: &Cidr, address: &Address) -> bool {
    let ip: Option<IpAddr> = match address {
        Address::Ip(address) => Some(address.ip()),
        Address::Unix(_) => None,
    };
    ip.is_some_and(|ip| range.contains(ip))
}

/// As Envoy, each of the certificate's names counts: its URIs, its DNS names, its subject. A client without a certificate is nobody.
fn authenticated(name: Option<&StringMatch>, tls: Option<&TlsInfo>) -> Option<bool> {
    let Some(tls) = tls.filter(|tls| tls.terminated && tls.peer_validated) else { return Some(false) };
    let Some(wanted) = name else { return Some(true) };
    let Some(peer) = &tls.peer else { return Some(false) };
    let mut names = peer.uris.iter().chain(&peer.hosts).chain([&peer.subject]);
    Some(names.any(|name| wanted.matches(name.as_bytes())))
}

#[cfg(test)]
mod tests;
