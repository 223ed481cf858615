//! Names of headers, and what is added to and removed from the headers of a request or response.

use http::header::{HeaderName, HeaderValue};
use xds_proto::envoy::config::core::v3 as wire;
use xds_proto::envoy::config::core::v3::header_value_option::HeaderAppendAction;

use crate::config::format::Format;
use crate::config::headers::{HeaderAction, HeaderMutations, HeaderSet, HeaderTarget};
use crate::xds::invalid::Parser;

/// Envoy's limit for each list of headers to add.
const MOST_ADDED: usize = 1000;

/// Envoy's limit for a header's name and for its value, in bytes.
const LONGEST: usize = 16_384;

/// The name of a header.
pub fn name(name: &str, parser: &mut Parser) -> Option<HeaderName> {
    if name.is_empty() {
        return parser.refuse("must not be empty");
    }
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => Some(name),
        Err(_) => parser.refuse(format_args!("{name:?} is not a header name")),
    }
}

/// The name of a header in a field.
pub fn name_at(field: &'static str, text: &str, parser: &mut Parser) -> Option<HeaderName> {
    parser.at(field, |parser| name(text, parser))
}

/// The name of a request header that something is read from. `:authority` is `host`, which stands for the authority in the model.
pub fn read_name_at(field: &'static str, text: &str, parser: &mut Parser) -> Option<HeaderName> {
    parser.at(field, |parser| match text {
        ":authority" => Some(http::header::HOST),
        pseudo if pseudo.starts_with(':') => {
            parser.refuse(format_args!("{pseudo:?} cannot be read here: the only pseudo-header that can is :authority"))
        }
        text => name(text, parser),
    })
}

/// A value that stands in a header as it is.
pub fn value_at(field: &'static str, text: &str, parser: &mut Parser) -> Option<HeaderValue> {
    match HeaderValue::from_str(text) {
        Ok(value) => Some(value),
        Err(_) => parser.refuse_at(field, format_args!("{text:?} cannot stand in a header")),
    }
}

/// The fields `request_headers_to_add` and `request_headers_to_remove`.
pub fn request(add: &[wire::HeaderValueOption], remove: &[String], parser: &mut Parser) -> HeaderMutations {
    HeaderMutations {
        remove: parser.each("request_headers_to_remove", remove, |name, parser| changed(name, "removed", parser)),
        set: additions("request_headers_to_add", add, parser),
    }
}

/// The fields `response_headers_to_add` and `response_headers_to_remove`.
pub fn response(add: &[wire::HeaderValueOption], remove: &[String], parser: &mut Parser) -> HeaderMutations {
    HeaderMutations {
        remove: parser.each("response_headers_to_remove", remove, |name, parser| changed(name, "removed", parser)),
        set: additions("response_headers_to_add", add, parser),
    }
}

/// A list of headers to add that stands alone.
pub fn mutations(field: &'static str, add: &[wire::HeaderValueOption], parser: &mut Parser) -> HeaderMutations {
    HeaderMutations { remove: Vec::new(), set: additions(field, add, parser) }
}

fn additions(field: &'static str, add: &[wire::HeaderValueOption], parser: &mut Parser) -> Vec<HeaderSet> {
    if add.len() > MOST_ADDED {
        parser.refuse_at::<()>(field, format_args!("{} headers are more than {MOST_ADDED}", add.len()));
    }
    parser.each(field, add, addition)
}

fn addition(option: &wire::HeaderValueOption, parser: &mut Parser) -> Option<HeaderSet> {
    let action = append_action(option, parser);
    let header = parser.required("header", option.header.as_ref())?;
    let (target, value) =
        parser.at("header", |parser| (parser.at("key", |parser| changed(&header.key, "modified", parser)), format(header, parser)));
    Some(HeaderSet { target: HeaderTarget::Field(target?), value: value?, action: action?, keep_empty: option.keep_empty_value })
}

fn append_action(option: &wire::HeaderValueOption, parser: &mut Parser) -> Option<HeaderAction> {
    let action = match parser.choice::<HeaderAppendAction>("append_action", option.append_action)? {
        HeaderAppendAction::AppendIfExistsOrAdd => HeaderAction::Append,
        HeaderAppendAction::AddIfAbsent => HeaderAction::AddIfAbsent,
        HeaderAppendAction::OverwriteIfExistsOrAdd => HeaderAction::OverwriteOrAdd,
        HeaderAppendAction::OverwriteIfExists => HeaderAction::OverwriteIfExists,
    };
    match option.append {
        None => Some(action),
        Some(_) if action != HeaderAction::Append => parser.refuse_at("append", "cannot be set beside append_action"),
        Some(true) => Some(HeaderAction::Append),
        Some(false) => Some(HeaderAction::OverwriteOrAdd),
    }
}

fn format(header: &wire::HeaderValue, parser: &mut Parser) -> Option<Format> {
    if header.value.is_empty() && !header.raw_value.is_empty() {
        return match std::str::from_utf8(&header.raw_value) {
            Ok(text) => format_at("raw_value", text, parser),
            Err(_) => parser.refuse_at("raw_value", "is not UTF-8, which a format must be"),
        };
    }
    format_at("value", &header.value, parser)
}

fn format_at(field: &'static str, text: &str, parser: &mut Parser) -> Option<Format> {
    if text.len() > LONGEST {
        return parser.refuse_at(field, format_args!("{} bytes are more than {LONGEST}", text.len()));
    }
    if text.contains(['\0', '\r', '\n']) {
        return parser.refuse_at(field, format_args!("{text:?} cannot stand in a header"));
    }
    parser.at(field, |parser| parser.accept(Format::parse(text)))
}

fn changed(text: &str, how: &str, parser: &mut Parser) -> Option<HeaderName> {
    // Routing and the codecs rely on these; rewrites are the way to change them.
    if text.starts_with(':') || text.eq_ignore_ascii_case("host") {
        return parser.refuse(format_args!("{text:?} may not be {how}: host and names that begin with ':' are changed by rewrites"));
    }
    if text.len() > LONGEST {
        return parser.refuse(format_args!("{} bytes are more than {LONGEST}", text.len()));
    }
    name(text, parser)
}

#[cfg(test)]
mod tests;
