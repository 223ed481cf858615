//! Stands in for parsers that are written on another branch; goes when they are merged.

pub(crate) mod matcher {
    use xds_proto::envoy::config::route::v3::HeaderMatcher;
    use xds_proto::envoy::r#type::matcher::v3::StringMatcher;

    use crate::config::matcher::{HeaderMatch, StringMatch};
    use crate::xds::invalid::Parser;

    pub(crate) fn string(_: &StringMatcher, parser: &mut Parser) -> Option<StringMatch> {
        parser.refuse("not read yet")
    }

    pub(crate) fn header(_: &HeaderMatcher, parser: &mut Parser) -> Option<HeaderMatch> {
        parser.refuse("not read yet")
    }
}

pub(crate) mod headers {
    use xds_proto::envoy::config::core::v3::HeaderValueOption;

    use crate::config::headers::HeaderMutations;
    use crate::xds::invalid::Parser;

    pub(crate) fn mutations(_: &[HeaderValueOption], _: &[String], parser: &mut Parser) -> HeaderMutations {
        parser.refuse::<()>("not read yet");
        HeaderMutations::default()
    }
}
