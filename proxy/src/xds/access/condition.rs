use xds_proto::envoy::config::core::v3::TypedExtensionConfig;
use xds_proto::envoy::config::rbac::v3::permission::Rule;
use xds_proto::envoy::config::rbac::v3::principal::Identifier;
use xds_proto::envoy::config::rbac::v3::{Permission, Principal};
use xds_proto::envoy::config::route::v3::HeaderMatcher;
use xds_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use xds_proto::envoy::r#type::matcher::v3::{PathMatcher, StringMatcher, path_matcher};
use xds_proto::envoy::r#type::v3::Int32Range;

use crate::config::access::Condition;
use crate::config::matcher::StringMatch;
use crate::xds::access::metadata;
use crate::xds::invalid::Parser;
use crate::xds::route::template;
use crate::xds::{address, matcher};

/// What is decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A request.
    Request,
    /// A connection: there are no headers.
    Connection,
}

/// At least one; `None` if one of them was refused, since the others would decide without it.
pub fn permissions(field: &'static str, wire: &[Permission], scope: Scope, parser: &mut Parser) -> Option<Vec<Condition>> {
    list(field, wire, parser, |wire, parser| permission(wire, scope, parser))
}

/// As [`permissions`].
pub fn principals(field: &'static str, wire: &[Principal], scope: Scope, parser: &mut Parser) -> Option<Vec<Condition>> {
    list(field, wire, parser, |wire, parser| principal(wire, scope, parser))
}

fn list<W>(
    field: &'static str,
    wire: &[W],
    parser: &mut Parser,
    parse: impl FnMut(&W, &mut Parser) -> Option<Condition>,
) -> Option<Vec<Condition>> {
    if wire.is_empty() {
        return parser.refuse_at(field, "at least one is required");
    }
    let conditions = parser.each(field, wire, parse);
    (conditions.len() == wire.len()).then_some(conditions)
}

fn permission(wire: &Permission, scope: Scope, parser: &mut Parser) -> Option<Condition> {
    match &wire.rule {
        None => parser.refuse("a rule is required"),
        Some(Rule::AndRules(set)) => parser.at("and_rules", |parser| permissions("rules", &set.rules, scope, parser)).map(Condition::All),
        Some(Rule::OrRules(set)) => parser.at("or_rules", |parser| permissions("rules", &set.rules, scope, parser)).map(Condition::OneOf),
        Some(Rule::Any(any)) => always(*any, parser),
        Some(Rule::Header(wire)) => header(wire, scope, parser),
        Some(Rule::UrlPath(wire)) => url_path(wire, scope, parser),
        Some(Rule::DestinationIp(range)) => {
            parser.at("destination_ip", |parser| address::cidr(range, parser)).map(Condition::DestinationIp)
        }
        Some(Rule::DestinationPort(port)) => destination_port(*port, parser),
        Some(Rule::DestinationPortRange(range)) => parser.at("destination_port_range", |parser| port_range(range, parser)),
        Some(Rule::Metadata(wire)) => parser.at("metadata", |parser| metadata::parse(wire, scope, parser)),
        Some(Rule::NotRule(inner)) => {
            parser.at("not_rule", |parser| permission(inner, scope, parser)).map(|inner| Condition::Not(Box::new(inner)))
        }
        Some(Rule::RequestedServerName(wire)) => string("requested_server_name", wire, parser).map(Condition::ServerName),
        Some(Rule::Matcher(_)) => parser.refuse_at("matcher", "not supported"),
        Some(Rule::UriTemplate(wire)) => parser.at("uri_template", |parser| uri_template(wire, scope, parser)),
        Some(Rule::SourcedMetadata(wire)) => parser.at("sourced_metadata", |parser| metadata::sourced(wire, scope, parser)),
    }
}

fn principal(wire: &Principal, scope: Scope, parser: &mut Parser) -> Option<Condition> {
    let range = |field: &'static str, range, parser: &mut Parser| parser.at(field, |parser| address::cidr(range, parser));
    match &wire.identifier {
        None => parser.refuse("an identifier is required"),
        Some(Identifier::AndIds(set)) => parser.at("and_ids", |parser| principals("ids", &set.ids, scope, parser)).map(Condition::All),
        Some(Identifier::OrIds(set)) => parser.at("or_ids", |parser| principals("ids", &set.ids, scope, parser)).map(Condition::OneOf),
        Some(Identifier::Any(any)) => always(*any, parser),
        Some(Identifier::Authenticated(wire)) => parser.at("authenticated", |parser| match &wire.principal_name {
            None => Some(Condition::Authenticated(None)),
            Some(name) => string("principal_name", name, parser).map(|name| Condition::Authenticated(Some(name))),
        }),
        Some(Identifier::SourceIp(wire)) => range("source_ip", wire, parser).map(Condition::SourceIp),
        Some(Identifier::DirectRemoteIp(wire)) => range("direct_remote_ip", wire, parser).map(Condition::DirectRemoteIp),
        Some(Identifier::RemoteIp(wire)) => range("remote_ip", wire, parser).map(Condition::RemoteIp),
        Some(Identifier::Header(wire)) => header(wire, scope, parser),
        Some(Identifier::UrlPath(wire)) => url_path(wire, scope, parser),
        Some(Identifier::Metadata(wire)) => parser.at("metadata", |parser| metadata::parse(wire, scope, parser)),
        Some(Identifier::FilterState(_)) => parser.refuse_at("filter_state", "not supported"),
        Some(Identifier::NotId(inner)) => {
            parser.at("not_id", |parser| principal(inner, scope, parser)).map(|inner| Condition::Not(Box::new(inner)))
        }
        Some(Identifier::SourcedMetadata(wire)) => parser.at("sourced_metadata", |parser| metadata::sourced(wire, scope, parser)),
        Some(Identifier::Custom(_)) => parser.refuse_at("custom", "not supported"),
    }
}

/// Envoy takes it, and it never fits: what is to be denied would be let through.
pub(super) const NO_REQUEST: &str = "a connection has none: the HTTP filter decides about requests";

/// As Envoy: `false` has no meaning.
fn always(any: bool, parser: &mut Parser) -> Option<Condition> {
    if any { Some(Condition::Any) } else { parser.refuse_at("any", "must be true") }
}

fn string(field: &'static str, wire: &StringMatcher, parser: &mut Parser) -> Option<StringMatch> {
    parser.at(field, |parser| matcher::string(wire, parser))
}

fn header(wire: &HeaderMatcher, scope: Scope, parser: &mut Parser) -> Option<Condition> {
    parser.at("header", |parser| match scope {
        Scope::Request => matcher::header(wire, parser).map(Condition::Header),
        Scope::Connection => parser.refuse(NO_REQUEST),
    })
}

fn url_path(wire: &PathMatcher, scope: Scope, parser: &mut Parser) -> Option<Condition> {
    parser.at("url_path", |parser| match (&wire.rule, scope) {
        (_, Scope::Connection) => parser.refuse(NO_REQUEST),
        (None, Scope::Request) => parser.refuse_at("path", "required"),
        (Some(path_matcher::Rule::Path(wire)), Scope::Request) => string("path", wire, parser).map(Condition::Path),
    })
}

fn uri_template(wire: &TypedExtensionConfig, scope: Scope, parser: &mut Parser) -> Option<Condition> {
    if scope == Scope::Connection {
        return parser.refuse(NO_REQUEST);
    }
    let packed = parser.required("typed_config", wire.typed_config.as_ref())?;
    parser.at("typed_config", |parser| {
        let config = parser.unpack::<UriTemplateMatchConfig>(packed)?;
        let parsed = parser.at("path_template", |parser| parser.accept(template::pattern(&config.path_template)));
        parsed.map(Condition::PathTemplate)
    })
}

fn destination_port(port: u32, parser: &mut Parser) -> Option<Condition> {
    if port > u32::from(u16::MAX) {
        return parser.refuse_at("destination_port", format_args!("{port} is not between 0 and 65535"));
    }
    Some(Condition::DestinationPort(port..port.saturating_add(1)))
}

/// As Envoy: the end is not part of it, and may be above every port.
fn port_range(range: &Int32Range, parser: &mut Parser) -> Option<Condition> {
    let mut bound = |field: &'static str, value: i32| match u32::try_from(value) {
        Ok(port) if port <= 65536 => Some(port),
        _ => parser.refuse_at(field, format_args!("{value} is not between 0 and 65536")),
    };
    let (start, end) = (bound("start", range.start), bound("end", range.end));
    let (start, end) = (start?, end?);
    if start >= end {
        return parser.refuse(format_args!("{start} is not below {end}"));
    }
    Some(Condition::DestinationPort(start..end))
}
