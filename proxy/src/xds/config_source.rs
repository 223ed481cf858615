//! `ConfigSource`: where a resource comes from.

use std::time::Duration;

use xds_proto::envoy::config::core::v3 as wire;
use xds_proto::envoy::config::core::v3::ApiVersion;
use xds_proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;

use crate::config::source::{ResourceFile, Whole};
use crate::xds::invalid::Parser;
use crate::xds::resource::Kind;

/// As Envoy.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// The source of one resource by name; how long to wait for the first answer, `None` for ever.
pub fn of_one(source: &wire::ConfigSource, kind: Kind, name: &str, parser: &mut Parser) -> Option<Option<Duration>> {
    let Whole { file, limit } = of_all(source, parser)?;
    if let Some(file) = file {
        parser.refer(kind, name, file);
    }
    Some(limit)
}

/// The source of all resources of a type.
pub fn of_all(source: &wire::ConfigSource, parser: &mut Parser) -> Option<Whole> {
    parser.unsupported("authorities", !source.authorities.is_empty());
    let version: Option<ApiVersion> = parser.choice("resource_api_version", source.resource_api_version);
    // AUTO meant V2 once; here there is one version only.
    if !matches!(version, None | Some(ApiVersion::Auto | ApiVersion::V3)) {
        return parser.refuse_at("resource_api_version", "V2 is gone from xDS, use V3");
    }
    let file = match &source.config_source_specifier {
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) if parser.has_server() => None,
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) => {
            return parser.refuse("there is no server to ask: dynamic_resources.ads_config is not set");
        }
        Some(ConfigSourceSpecifier::Path(path)) => Some(parser.at("path", |parser| file(path, None, parser))?),
        Some(ConfigSourceSpecifier::PathConfigSource(source)) => Some(parser.at("path_config_source", |parser| {
            let folder = source.watched_directory.as_ref().map(|watched| watched.path.as_str());
            if folder.is_some_and(str::is_empty) {
                return parser.refuse_at("watched_directory", "path: required");
            }
            parser.at("path", |parser| file(&source.path, folder, parser))
        })?),
        _ => return parser.refuse("only ads, self, path and path_config_source are supported"),
    };
    Some(Whole { file, limit: parser.limit("initial_fetch_timeout", source.initial_fetch_timeout.as_ref(), Some(FETCH_TIMEOUT)) })
}

/// As Envoy: a file that is not there is a fault of whoever names it.
fn file(path: &str, folder: Option<&str>, parser: &mut Parser) -> Option<ResourceFile> {
    let file = ResourceFile::new(path, folder);
    match std::fs::metadata(&file.path) {
        Ok(found) if found.is_file() => Some(file),
        Ok(_) => parser.refuse(format_args!("{path:?} is not a file")),
        Err(error) => parser.refuse(format_args!("{path:?}: {error}")),
    }
}
