use xds_proto::envoy::config::core::v3::{CidrRange, TypedExtensionConfig};
use xds_proto::envoy::config::rbac::v3::permission::{self, Rule};
use xds_proto::envoy::config::rbac::v3::principal::{self, Authenticated, Identifier};
use xds_proto::envoy::config::rbac::v3::{Permission, Principal};
use xds_proto::envoy::config::route::v3::HeaderMatcher;
use xds_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use xds_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use xds_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use xds_proto::envoy::r#type::matcher::v3::{PathMatcher, StringMatcher, path_matcher};

use crate::model::authorization::{Action, Path, Pattern, Range, Test, What, Who};
use crate::translate::authorization::token;
use crate::translate::wire;

/// What can be put together.
pub(super) trait Clause: Sized {
    /// Always.
    fn any() -> Self;
    /// Each of these.
    fn all(clauses: Vec<Self>) -> Self;
    /// One of these.
    fn one_of(clauses: Vec<Self>) -> Self;
    /// The opposite.
    fn not(self) -> Self;
}

impl Clause for Permission {
    fn any() -> Self {
        what_if(Rule::Any(true))
    }

    fn all(rules: Vec<Self>) -> Self {
        what_if(Rule::AndRules(permission::Set { rules }))
    }

    fn one_of(rules: Vec<Self>) -> Self {
        what_if(Rule::OrRules(permission::Set { rules }))
    }

    fn not(self) -> Self {
        what_if(Rule::NotRule(Box::new(self)))
    }
}

impl Clause for Principal {
    fn any() -> Self {
        who_if(Identifier::Any(true))
    }

    fn all(ids: Vec<Self>) -> Self {
        who_if(Identifier::AndIds(principal::Set { ids }))
    }

    fn one_of(ids: Vec<Self>) -> Self {
        who_if(Identifier::OrIds(principal::Set { ids }))
    }

    fn not(self) -> Self {
        who_if(Identifier::NotId(Box::new(self)))
    }
}

const fn what_if(rule: Rule) -> Permission {
    Permission { rule: Some(rule) }
}

const fn who_if(identifier: Identifier) -> Principal {
    Principal { identifier: Some(identifier) }
}

/// Each of these; any, if there are none.
pub(super) fn all<C: Clause>(mut clauses: Vec<C>) -> C {
    match clauses.pop() {
        None => C::any(),
        Some(only) if clauses.is_empty() => only,
        Some(last) => {
            clauses.push(last);
            C::all(clauses)
        }
    }
}

/// One of these, and none of those.
fn test<T, C: Clause>(test: &Test<T>, clause: impl Fn(&T) -> C) -> Vec<C> {
    let one_of = |values: &[T]| match values {
        [] => None,
        [only] => Some(clause(only)),
        several => Some(C::one_of(several.iter().map(&clause).collect())),
    };
    one_of(&test.one_of).into_iter().chain(one_of(&test.none_of).map(C::not)).collect()
}

/// What a request or connection is for.
pub(super) fn what(what: &What) -> Vec<Permission> {
    match what {
        What::Host(hosts) => test(hosts, |host| header(":authority", HeaderMatchSpecifier::StringMatch(self::host(host)))),
        What::Method(methods) => test(methods, |method| header(":method", value(method))),
        What::Path(paths) => test(paths, path),
        What::Header(name, values) => test(values, |pattern| header(name, value(pattern))),
        What::Port(ports) => test(ports, |port| what_if(Rule::DestinationPort((*port).into()))),
        What::Ip(ranges) => test(ranges, |one| what_if(Rule::DestinationIp(range(one)))),
        What::ServerName(names) => test(names, |name| what_if(Rule::RequestedServerName(server_name(name)))),
    }
}

/// Who it is. A client that shows no certificate, or no token, is nobody: it is none of those that are not meant, and is not allowed for
/// that.
pub(super) fn who(who: &Who, action: &Action, trust_domain: &str) -> Vec<Principal> {
    let identity = format!("spiffe://{trust_domain}/");
    let somebody = |is_needed: bool| (is_needed && *action == Action::Allow).then(|| authenticated(prefix(&identity)));
    let with_token = |is_needed: bool| (is_needed && *action == Action::Allow).then(token::present);
    match who {
        Who::Principal(names) => {
            let shown = somebody(names.one_of.is_empty());
            shown.into_iter().chain(test(names, |name| authenticated(spiffe(name)))).collect()
        }
        Who::Namespace(names) => {
            let shown = somebody(names.one_of.is_empty());
            shown.into_iter().chain(test(names, |name| authenticated(namespace(name, &identity)))).collect()
        }
        Who::Account(names) => {
            let exactly = |namespace: &str, name: &str| wire::exactly(&format!("{identity}ns/{namespace}/sa/{name}"));
            let shown = somebody(names.one_of.is_empty());
            shown.into_iter().chain(test(names, |name| authenticated(exactly(&name.namespace, &name.name)))).collect()
        }
        Who::Ip(ranges) => test(ranges, |one| who_if(Identifier::DirectRemoteIp(range(one)))),
        Who::TokenPrincipal(names) => with_token(names.one_of.is_empty()).into_iter().chain(test(names, token::principal)).collect(),
        Who::Claim(path, values) => {
            let shown = with_token(values.one_of.is_empty());
            shown.into_iter().chain(test(values, |pattern| token::claim(path, pattern))).collect()
        }
    }
}

/// Proxies tell it in small letters, and with the dot that ends a name if it was sent.
fn server_name(pattern: &Pattern) -> StringMatcher {
    wire::fits(&match pattern {
        Pattern::Present => ".+".to_owned(),
        Pattern::Exact(text) => format!("(?i){}\\.?", regex::escape(text)),
        Pattern::Prefix(begin) => format!("(?i){}.*", regex::escape(begin)),
        Pattern::Suffix(end) => format!("(?i).*{}\\.?", regex::escape(end)),
    })
}

fn authenticated(name: StringMatcher) -> Principal {
    who_if(Identifier::Authenticated(Authenticated { principal_name: Some(name) }))
}

/// A principal, as certificates have it. All that is said begins so, since other names of a certificate are looked at as well.
fn spiffe(pattern: &Pattern) -> StringMatcher {
    match pattern {
        Pattern::Present => prefix("spiffe://"),
        Pattern::Exact(name) => wire::exactly(&format!("spiffe://{name}")),
        Pattern::Prefix(begin) => prefix(&format!("spiffe://{begin}")),
        Pattern::Suffix(end) => wire::fits(&format!("spiffe://.*{}", regex::escape(end))),
    }
}

/// Of whichever account.
fn namespace(pattern: &Pattern, identity: &str) -> StringMatcher {
    match pattern {
        Pattern::Present => prefix(&format!("{identity}ns/")),
        Pattern::Exact(name) => prefix(&format!("{identity}ns/{name}/")),
        Pattern::Prefix(begin) => prefix(&format!("{identity}ns/{begin}")),
        Pattern::Suffix(end) => wire::fits(&format!("{}ns/[^/]*{}/.*", regex::escape(identity), regex::escape(end))),
    }
}

/// In any case; where no port is asked for with any, and with the dot that ends a name or without.
fn host(pattern: &Pattern) -> StringMatcher {
    let end = |text: &str| {
        let has_port = text.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        format!("{}{}", regex::escape(text), if has_port { "" } else { r"\.?(:[0-9]*)?" })
    };
    wire::fits(&match pattern {
        Pattern::Present => ".+".to_owned(),
        Pattern::Exact(text) => format!("(?i){}", end(text)),
        Pattern::Prefix(begin) => format!("(?i){}.*", regex::escape(begin)),
        Pattern::Suffix(text) => format!("(?i).*{}", end(text)),
    })
}

fn path(path: &Path) -> Permission {
    match path {
        Path::Text(pattern) => {
            let matcher = PathMatcher { rule: Some(path_matcher::Rule::Path(path_text(pattern))) };
            what_if(Rule::UrlPath(matcher))
        }
        Path::Template(template) => {
            let config = UriTemplateMatchConfig { path_template: template.to_string() };
            what_if(Rule::UriTemplate(TypedExtensionConfig {
                name: "envoy.path.match.uri_template.uri_template_matcher".to_owned(),
                typed_config: Some(wire::pack(&config)),
            }))
        }
    }
}

/// What RFC 3986 lets a path have as it is or escaped, and what clients send as it is although it should be escaped: normalisation leaves
/// both, and applications take them for the same.
const EITHER_WAY: &[u8] = b"!$&'()*+,;=:@|^[]";

/// A path in all the spellings that normalisation leaves. The digits of an escape are letters of either case, and of nothing but
/// slashes two are left.
fn path_text(pattern: &Pattern) -> StringMatcher {
    let (before, text, after) = match pattern {
        Pattern::Exact(text) if &**text == "/" => return wire::fits("/+"),
        Pattern::Exact(text) => ("", text, ""),
        Pattern::Prefix(begin) => ("", begin, ".*"),
        Pattern::Suffix(end) => (".*", end, ""),
        Pattern::Present => return string(pattern),
    };
    if !text.bytes().any(|byte| byte == b'%' || EITHER_WAY.contains(&byte)) {
        return string(pattern);
    }
    let mut expression = before.to_owned();
    let mut rest: &str = text;
    while let Some(first) = rest.chars().next() {
        let escaped = rest.strip_prefix('%').and_then(|rest| rest.get(..2)).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, length) = escaped.map_or_else(|| (u8::try_from(first).ok(), first.len_utf8()), |byte| (Some(byte), "%00".len()));
        let literal = regex::escape(first.encode_utf8(&mut [0; 4]));
        expression.push_str(&match byte {
            Some(byte) if EITHER_WAY.contains(&byte) => {
                format!("(?:{}|(?i:%{byte:02x}))", regex::escape(&char::from(byte).to_string()))
            }
            Some(byte) if escaped.is_some() => format!("(?i:%{byte:02x})"),
            _ => literal,
        });
        rest = rest.get(length..).unwrap_or_default();
    }
    expression.push_str(after);
    wire::fits(&expression)
}

fn header(name: &str, specifier: HeaderMatchSpecifier) -> Permission {
    let header_match_specifier = Some(specifier);
    what_if(Rule::Header(HeaderMatcher { name: name.to_owned(), header_match_specifier, ..HeaderMatcher::default() }))
}

fn value(pattern: &Pattern) -> HeaderMatchSpecifier {
    match pattern {
        Pattern::Present => HeaderMatchSpecifier::PresentMatch(true),
        Pattern::Exact(_) | Pattern::Prefix(_) | Pattern::Suffix(_) => HeaderMatchSpecifier::StringMatch(string(pattern)),
    }
}

pub(super) fn string(pattern: &Pattern) -> StringMatcher {
    match pattern {
        Pattern::Present => wire::fits(".+"),
        Pattern::Exact(text) => wire::exactly(text),
        Pattern::Prefix(begin) => prefix(begin),
        Pattern::Suffix(end) => StringMatcher { match_pattern: Some(MatchPattern::Suffix(end.to_string())), ..StringMatcher::default() },
    }
}

fn prefix(text: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(MatchPattern::Prefix(text.to_owned())), ..StringMatcher::default() }
}

fn range(range: &Range) -> CidrRange {
    CidrRange { address_prefix: range.address.to_string(), prefix_len: Some(range.length.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expression of a path, as a proxy asks it: of the whole.
    fn fits(pattern: &Pattern, path: &str) -> bool {
        match path_text(pattern).match_pattern {
            Some(MatchPattern::SafeRegex(matcher)) => regex::Regex::new(&format!("^(?:{})$", matcher.regex)).unwrap().is_match(path),
            Some(MatchPattern::Exact(text)) => text == path,
            Some(MatchPattern::Prefix(begin)) => path.starts_with(&begin),
            Some(MatchPattern::Suffix(end)) => path.ends_with(&end),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_spelling_that_normalisation_leaves_goes_around_a_path() {
        let exact = |text: &str| Pattern::Exact(text.into());
        for path in ["/v1/x:delete", "/v1/x%3Adelete", "/v1/x%3adelete"] {
            assert!(fits(&exact("/v1/x:delete"), path) && fits(&exact("/v1/x%3Adelete"), path), "{path}");
            assert!(fits(&Pattern::Prefix("/v1/x:".into()), path) && fits(&Pattern::Suffix(":delete".into()), path), "{path}");
        }
        for path in ["/a|b", "/a%7Cb", "/a%7cb"] {
            assert!(fits(&exact("/a%7Cb"), path), "{path}");
        }
        assert!(fits(&exact("/a%20b"), "/a%20b") && !fits(&exact("/a%20b"), "/a+b"));
        assert!(fits(&exact("/"), "/") && fits(&exact("/"), "//") && !fits(&exact("/"), "/a"), "of slashes alone two are left");
        assert!(!fits(&exact("/v1/x:delete"), "/v1/xXdelete"));
    }
}
