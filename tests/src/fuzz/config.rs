use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use crate::fuzz::format;
use http::{HeaderMap, HeaderValue, Method, Version};
use ninon_proxy::config::access::{Action, Rules};
use ninon_proxy::config::filter::FilterKind;
use ninon_proxy::config::jwt::{JwtAuthentication, KeySource};
use ninon_proxy::config::listener::ChainHandler;
use ninon_proxy::config::matcher::RequestHeaders as _;
use ninon_proxy::exchange::RequestHead;
use ninon_proxy::filter::access::{Subject, decide};
use ninon_proxy::filter::jwt::{self, KeysNow, Verdict, Verified};
use ninon_proxy::route::{self, MatchContext, Selection};
use ninon_proxy::settings::file;
use ninon_proxy::xds;
use ninon_proxy::xds::bootstrap::Runtime;
use ninon_proxy::xds::endpoint::Addresses;
use ninon_proxy::xds::invalid::{Faults, Invalid, Parser};
use prost::{Message, Name};
use prost_reflect::DescriptorPool;
use xds_proto::envoy::config as wire;
use xds_proto::{json, unknown};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| xds_proto::descriptor_pool().expect("the descriptors are embedded"));

/// Any text is a configuration, or is refused with a reason; strictness adds refusals and takes none away.
pub(super) fn bootstrap(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // No file and no pipe of this machine is read.
    if text.contains("filename") {
        return;
    }
    let lenient = file::load(text, false);
    let strict = file::load(text, true);
    match (&lenient, &strict) {
        (Ok(loaded), _) => told(&loaded.warnings),
        (Err(faults), Err(_)) => refused(faults),
        (Err(faults), Ok(_)) => panic!("refused only when lenient: {faults}"),
    }
}

/// The rules of an accepted listener decide about any request without a panic.
pub(super) fn listener(data: &[u8]) {
    let listener = parsed(data, |wire: &wire::listener::v3::Listener, parser| xds::listener::parse(wire, &Runtime::default(), parser));
    for chain in listener.iter().flat_map(|listener| &listener.chains) {
        let connection = format::connection();
        let network = chain.access.iter().flat_map(|access| access.rules.iter().chain(&access.shadow));
        network.for_each(|rules| decided(rules, &Subject::of_connection(&connection)));
        let ChainHandler::Http(manager) = &chain.handler else { continue };
        for filter in &manager.filters {
            for (authority, path) in REQUESTS {
                let request = head(authority, path);
                match &filter.kind {
                    FilterKind::Access(access) => {
                        let subject = Subject { request: Some(&request), ..Subject::of_connection(&connection) };
                        access.rules.iter().chain(&access.shadow).for_each(|rules| decided(rules, &subject));
                    }
                    FilterKind::Jwt(tokens) => verified(tokens, &request),
                    FilterKind::External(_) => {}
                }
            }
        }
    }
}

/// Who is denied is told by which policy; who is allowed by a list is on it.
fn decided(rules: &Rules, subject: &Subject<'_>) {
    let decision = decide(rules, subject);
    match rules.action {
        Action::Allow => assert_eq!(decision.allowed, decision.policy.is_some()),
        Action::Deny => assert_eq!(decision.allowed, decision.policy.is_none()),
        Action::Log => assert!(decision.allowed),
    }
}

/// Nothing of what these requests have is a good token: nobody has signed it.
fn verified(tokens: &JwtAuthentication, request: &RequestHead) {
    let keys = |index: usize| match tokens.providers.get(index).map(|provider| &provider.keys) {
        Some(KeySource::Local(keys)) => KeysNow::Known(Arc::clone(keys)),
        Some(KeySource::Remote(_)) | None => KeysNow::Failed,
    };
    for requirement in tokens.rules.iter().filter_map(|(_, requirement)| requirement.as_ref()).chain(tokens.named.values()) {
        let verdict = jwt::verify(tokens, requirement, request, SystemTime::UNIX_EPOCH, &keys);
        assert!(!matches!(verdict, Verdict::NeedsKeys(_)), "no key is awaited");
        if let Verdict::Good(verified) = verdict {
            assert_eq!(verified, Verified::default(), "nobody has signed a token");
        }
    }
}

const REQUESTS: [(&str, &str); 4] =
    [("a", "/"), ("www.example.com:80", "/a/b?q=1"), ("", "*"), ("[::1]", "//%2e/?access_token=eyJhbGciOiJFUzI1NiJ9.e30.AA")];

fn head(authority: &'static str, path: &str) -> RequestHead {
    RequestHead {
        method: Method::GET,
        scheme: HeaderValue::from_static("http"),
        authority: HeaderValue::from_static(authority),
        path: path.parse().ok(),
        version: Version::HTTP_11,
        upgrade: None,
        headers: HeaderMap::new(),
    }
}

pub(super) fn cluster(data: &[u8]) {
    parsed(data, |wire: &wire::cluster::v3::Cluster, parser| xds::cluster::parse(wire, parser));
}

pub(super) fn endpoint(data: &[u8]) {
    for addresses in [Addresses::Known, Addresses::Resolved] {
        parsed(data, |wire: &wire::endpoint::v3::ClusterLoadAssignment, parser| xds::endpoint::parse(wire, addresses, parser));
    }
}

/// An accepted table routes any request without a panic.
pub(super) fn route(data: &[u8]) {
    let table = parsed(data, |wire: &wire::route::v3::RouteConfiguration, parser| xds::route::parse(wire, parser));
    let Some(table) = table else { return };
    for (authority, path) in REQUESTS {
        let head = head(authority, path);
        let context = MatchContext { tls: None, internal: false, draw: 7 };
        if let Selection::Route { virtual_host, .. } = route::select(&table, &head, &context) {
            assert!(table.virtual_hosts.iter().any(|known| known.name == virtual_host.name));
            assert_eq!(head.authority(), authority);
        }
    }
}

/// A resource from JSON (where the input begins with a brace) or from protobuf, and what a parser makes of it.
fn parsed<M, T>(data: &[u8], parse: impl FnOnce(&M, &mut Parser) -> Option<T>) -> Option<T>
where
    M: Message + Name + Default,
{
    let text = String::from_utf8_lossy(data);
    if text.contains("filename") {
        return None;
    }
    let message = if data.first() == Some(&b'{') {
        let value = serde_json::from_slice(data).ok()?;
        json::from_json::<M>(&POOL, &value).ok()?.0
    } else {
        // Whether a field is known is asked of the same bytes that are decoded: one must not fall over where the other does not.
        let unknown = unknown::in_message(&POOL, &M::full_name(), data);
        let message = M::decode(data).ok()?;
        drop(unknown);
        message
    };
    let mut parser = Parser::new();
    let value = parse(&message, &mut parser);
    match parser.finish(value) {
        Ok((value, warnings)) => {
            told(&warnings);
            Some(value)
        }
        Err(faults) => {
            refused(&faults);
            None
        }
    }
}

fn refused(faults: &Faults) {
    assert!(!faults.list().is_empty() && !faults.to_string().is_empty(), "a refusal without a reason");
}

fn told(warnings: &[Invalid]) {
    assert!(warnings.iter().all(|warning| !warning.to_string().is_empty()));
}
