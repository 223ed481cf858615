use xds_proto::envoy::config::rbac::v3::{MetadataSource, SourcedMetadata};
use xds_proto::envoy::r#type::matcher::v3::double_matcher::MatchPattern as DoublePattern;
use xds_proto::envoy::r#type::matcher::v3::list_matcher::MatchPattern as ListPattern;
use xds_proto::envoy::r#type::matcher::v3::metadata_matcher::path_segment::Segment;
use xds_proto::envoy::r#type::matcher::v3::value_matcher::MatchPattern;
use xds_proto::envoy::r#type::matcher::v3::{MetadataMatcher, ValueMatcher};

use crate::config::access::{Condition, MetadataMatch, ValueMatch};
use crate::xds::access::condition::{NO_REQUEST, Scope};
use crate::xds::invalid::Parser;
use crate::xds::matcher::{not_empty, string};

/// Of a request.
pub(super) fn parse(wire: &MetadataMatcher, scope: Scope, parser: &mut Parser) -> Option<Condition> {
    if scope == Scope::Connection {
        return parser.refuse(NO_REQUEST);
    }
    matcher(wire, parser).map(Condition::Metadata)
}

/// A condition on metadata of a request.
pub fn matcher(wire: &MetadataMatcher, parser: &mut Parser) -> Option<MetadataMatch> {
    let filter = not_empty("filter", &wire.filter, parser);
    if wire.path.is_empty() {
        parser.refuse_at::<()>("path", "at least one segment is required");
    }
    let path = parser.each("path", &wire.path, |segment, parser| match &segment.segment {
        Some(Segment::Key(key)) => not_empty("key", key, parser),
        None => parser.refuse_at("key", "required"),
    });
    let value = parser.required("value", wire.value.as_ref());
    let value = value.and_then(|wire| parser.at("value", |parser| value_of(wire, parser)));
    let whole = path.len() == wire.path.len() && !path.is_empty();
    let matched = MetadataMatch { filter: filter?, path, value: value?, invert: wire.invert };
    whole.then_some(matched)
}

/// Metadata of routes is not kept.
pub(super) fn sourced(wire: &SourcedMetadata, scope: Scope, parser: &mut Parser) -> Option<Condition> {
    match parser.choice("metadata_source", wire.metadata_source)? {
        MetadataSource::Dynamic => {}
        MetadataSource::Route => return parser.refuse_at("metadata_source", "only DYNAMIC is supported"),
    }
    let matcher = parser.required("metadata_matcher", wire.metadata_matcher.as_ref())?;
    parser.at("metadata_matcher", |parser| parse(matcher, scope, parser))
}

fn value_of(wire: &ValueMatcher, parser: &mut Parser) -> Option<ValueMatch> {
    match &wire.match_pattern {
        None => parser.refuse("a pattern is required"),
        Some(MatchPattern::NullMatch(_)) => Some(ValueMatch::Null),
        Some(MatchPattern::DoubleMatch(wire)) => match &wire.match_pattern {
            None => parser.refuse_at("double_match", "one of range, exact is required"),
            Some(DoublePattern::Range(range)) => Some(ValueMatch::Range(range.start, range.end)),
            Some(DoublePattern::Exact(number)) => Some(ValueMatch::Number(*number)),
        },
        Some(MatchPattern::StringMatch(wire)) => parser.at("string_match", |parser| string(wire, parser)).map(ValueMatch::String),
        Some(MatchPattern::BoolMatch(wanted)) => Some(ValueMatch::Bool(*wanted)),
        Some(MatchPattern::PresentMatch(wanted)) => Some(ValueMatch::Present(*wanted)),
        Some(MatchPattern::ListMatch(wire)) => parser.at("list_match", |parser| match &wire.match_pattern {
            None => parser.refuse_at("one_of", "required"),
            Some(ListPattern::OneOf(one)) => {
                parser.at("one_of", |parser| value_of(one, parser)).map(|one| ValueMatch::OneOf(Box::new(one)))
            }
        }),
        Some(MatchPattern::OrMatch(wire)) => parser.at("or_match", |parser| {
            if wire.value_matchers.len() < 2 {
                return parser.refuse_at("value_matchers", "at least two are required");
            }
            let any = parser.each("value_matchers", &wire.value_matchers, value_of);
            (any.len() == wire.value_matchers.len()).then_some(ValueMatch::Any(any))
        }),
    }
}
