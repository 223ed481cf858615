//! A file of resources: a `DiscoveryResponse` as JSON, as Envoy reads it ("xDS REST and gRPC protocol", "Filesystem subscriptions").

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use prost_types::Any;
use serde_json::Value as Json;
use xds_proto::envoy::service::discovery::v3::DiscoveryResponse;
use xds_proto::json;
use xds_proto::unknown::UnknownKind;

use crate::xds::invalid::{Faults, Invalid, Parser};
use crate::xds::outside;
use crate::xds::resource::Kind;
use crate::xds::tls;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Each in an `Any`, or in a `Resource` in one.
    pub resources: Vec<Any>,
    /// The file's name for this state of it.
    pub version: String,
    /// Folders of files that the resources name: what changes there changes them.
    pub folders: BTreeSet<Arc<Path>>,
}

/// Reads a file of one type of resources; what it says without effect is told beside.
///
/// # Errors
/// All faults of its shape, and fields outside of the slice where those are faults; those of its meaning are found resource by
/// resource.
pub fn parse(kind: Kind, file: &Json) -> Result<(Content, Vec<Invalid>), Faults> {
    let pool = xds_proto::descriptor_pool().map_err(Faults::one)?;
    let mut parser = Parser::new();
    let (answer, unknown) = match json::from_json::<DiscoveryResponse>(&pool, file) {
        Ok((answer, unknown)) => (Some(answer), unknown),
        Err(unreadable) => {
            unreadable.faults.into_iter().for_each(|fault| parser.refuse_below(&fault.path, fault.problem));
            (None, unreadable.unknown)
        }
    };
    // Types that are not available are for the resources' own parsers to refuse, or to pass over.
    let fields: Vec<_> = unknown.into_iter().filter(|found| !matches!(found.kind, UnknownKind::AnyType { .. })).collect();
    outside::apply(&fields, kind == Kind::Secret, &mut parser);
    let content = answer.and_then(|answer| content(kind, answer, &mut parser));
    parser.finish(content)
}

fn content(kind: Kind, answer: DiscoveryResponse, parser: &mut Parser) -> Option<Content> {
    if !answer.type_url.is_empty() && Kind::from_type_url(&answer.type_url) != Some(kind) {
        return parser.refuse_at("type_url", format_args!("{:?} is not {:?}", answer.type_url, kind.type_url()));
    }
    let folders = if kind == Kind::Secret { tls::folders(&answer.resources) } else { BTreeSet::new() };
    Some(Content { resources: answer.resources, version: answer.version_info, folders })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

    fn faults(kind: Kind, file: &Json) -> String {
        parse(kind, file).expect_err("a fault").to_string()
    }

    #[test]
    fn resources_are_read_with_the_files_version() {
        let file = json!({"version_info": "7", "resources": [{"@type": CLUSTER, "name": "web"}]});
        let (content, warnings) = parse(Kind::Cluster, &file).unwrap();
        assert_eq!((content.version.as_str(), content.resources.len(), warnings.len()), ("7", 1, 0));
        assert_eq!(parse(Kind::Cluster, &json!({})).unwrap().0, Content::default());
    }

    #[test]
    fn what_is_not_known_is_told_with_its_place() {
        let file = json!({"resources": [{"@type": CLUSTER, "name": "web", "nmae": 1}]});
        let (_, warnings) = parse(Kind::Cluster, &file).unwrap();
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].place(), "resources[0].nmae");
        let secret = json!({"resources": [{"@type": Kind::Secret.type_url(), "name": "key", "generic": 1}]});
        assert!(faults(Kind::Secret, &secret).starts_with("resources[0].generic: no such field"), "{}", faults(Kind::Secret, &secret));
    }

    #[test]
    fn a_file_of_another_shape_or_type_is_refused() {
        assert!(faults(Kind::Cluster, &json!({"resources": {}})).starts_with("resources: "));
        let other = json!({"type_url": Kind::Listener.type_url()});
        assert!(faults(Kind::Cluster, &other).starts_with("type_url: "));
    }
}
