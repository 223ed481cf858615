use std::collections::BTreeMap;
use std::net::IpAddr;

use ninon_control_plane::model::mesh::Mesh;
use ninon_control_plane::snapshot::kind::Kind;
use ninon_control_plane::source::{manifest, yaml};
use ninon_control_plane::translate::view::{Form, Translator, View};
use prost::Message as _;
use prost_types::Any;
use regex::Regex;
use serde_json::{Value, json};
use xds_proto::any;
use xds_proto::envoy::config::core::v3::CidrRange;
use xds_proto::envoy::config::core::v3::grpc_service::TargetSpecifier;
use xds_proto::envoy::config::core::v3::http_uri::HttpUpstreamType;
use xds_proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use xds_proto::envoy::config::rbac::v3::permission::Rule;
use xds_proto::envoy::config::rbac::v3::principal::Identifier;
use xds_proto::envoy::config::rbac::v3::rbac::Action;
use xds_proto::envoy::config::rbac::v3::{MetadataSource, Permission, Policy, Principal, Rbac};
use xds_proto::envoy::config::route::v3::HeaderMatcher;
use xds_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::ExtAuthz;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::ext_authz::Services;
use xds_proto::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, HttpFilter, http_filter};
use xds_proto::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use xds_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use xds_proto::envoy::r#type::matcher::v3::metadata_matcher::path_segment;
use xds_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use xds_proto::envoy::r#type::matcher::v3::value_matcher::MatchPattern as ValuePattern;
use xds_proto::envoy::r#type::matcher::v3::{MetadataMatcher, StringMatcher, ValueMatcher, double_matcher, list_matcher, path_matcher};

/// The listener of the port where HTTP is spoken.
pub(crate) const WEB: &str = "inbound:8080";
/// The other one.
pub(crate) const TCP: &str = "inbound:5432";

const CART: &str = "
apiVersion: ninon.dev/v1alpha1
kind: Workload
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec:
  addresses: [10.0.0.1]
  serviceAccount: cart
  ports:
  - {name: http, port: 8080, applicationPort: 18080, appProtocol: http}
  - {name: db, port: 5432, applicationPort: 15432, appProtocol: tcp}
";

/// Who comes, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Option<&'static str>,
    pub(crate) ip: IpAddr,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) host: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) sni: &'static str,
    /// What its token says, if it has a good one.
    pub(crate) claims: Option<Value>,
}

impl Default for Caller {
    fn default() -> Self {
        let ip = "10.9.9.9".parse().unwrap();
        Self { principal: None, ip, method: "GET", path: "/", host: "cart.shop", headers: Vec::new(), sni: "", claims: None }
    }
}

fn mesh(text: &str) -> Mesh {
    let mut mesh = Mesh::default();
    for document in yaml::documents(text) {
        let (key, object) = manifest::read(&document.unwrap().value).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        mesh.apply(&key, Some(object));
    }
    mesh
}

/// The listeners of a workload under policies.
pub(crate) struct Judge {
    listeners: Vec<Listener>,
}

impl Judge {
    pub(crate) fn of(policies: &str) -> Self {
        Self::with(CART, policies)
    }

    /// With connections redirected to the sidecar.
    pub(crate) fn redirected(policies: &str) -> Self {
        let workload = CART.replace(", applicationPort: 18080", "").replace(", applicationPort: 15432", "");
        Self::with(&workload, policies)
    }

    fn with(workload: &str, policies: &str) -> Self {
        Self::seen(&mesh(&format!("{workload}{policies}")))
    }

    /// Beside something that was there when the control plane started, and that it cannot read.
    pub(crate) fn with_broken(broken: &str, policies: &str) -> Self {
        let mut mesh = mesh(&format!("{CART}{policies}"));
        for document in yaml::documents(broken) {
            let value = document.unwrap().value;
            assert!(manifest::read(&value).is_err(), "{broken}");
            let (key, object) = manifest::stand_in(&value).unwrap();
            mesh.apply(&key, Some(object));
        }
        Self::seen(&mesh)
    }

    fn seen(mesh: &Mesh) -> Self {
        let view = View {
            form: Form::Identified,
            namespace: "shop".into(),
            workload: Some("cart-1".into()),
            account: Some("cart".into()),
            transparent: false,
        };
        let snapshot = Translator::default().snapshot(mesh, &view);
        let listeners = snapshot.of(Kind::Listener).flat_map(|set| set.iter());
        let listeners = listeners.filter(|resource| resource.name.starts_with("inbound"));
        let listeners = listeners.map(|resource| any::unpack(&Any::decode(resource.any.clone()).unwrap()).unwrap());
        Self { listeners: listeners.collect() }
    }

    fn all_chains(&self) -> impl Iterator<Item = &FilterChain> {
        self.listeners.iter().flat_map(|listener| listener.filter_chains.iter().chain(&listener.default_filter_chain))
    }

    /// That lead somewhere.
    pub(crate) fn chains(&self) -> usize {
        self.all_chains().filter(|chain| chain.name != "blackhole").count()
    }

    pub(crate) fn guarded_chains(&self) -> usize {
        self.all_chains().filter(|chain| !rules(chain).is_empty()).count()
    }

    /// Listeners that look into TLS.
    /// Which listeners look whether TLS comes, and after how many milliseconds they go on without; none, if they never do.
    pub(crate) fn looks_into_tls(&self) -> Vec<Option<i32>> {
        let looks = |listener: &&Listener| listener.listener_filters.iter().any(|one| one.name.ends_with("tls_inspector"));
        let goes_on = |listener: &Listener| {
            let wait = listener.listener_filters_timeout.as_ref().map_or(0, |wait| wait.nanos / 1_000_000);
            listener.continue_on_listener_filters_timeout.then_some(wait)
        };
        self.listeners.iter().filter(looks).map(goes_on).collect()
    }

    fn chain(&self, listener: &str) -> &FilterChain {
        let found = self.listeners.iter().find(|one| one.name == listener).unwrap();
        let chains = &found.filter_chains;
        assert!(chains.iter().all(|chain| rules(chain) == rules(&chains[0])), "every chain has the same rules");
        &chains[0]
    }

    /// The clusters that are asked about a request, in order.
    pub(crate) fn asked(&self, caller: &Caller) -> Vec<String> {
        let asked = Asked { caller, port: 8080, is_request: true };
        let (mut said, mut clusters) = (BTreeMap::new(), Vec::new());
        for filter in http_filters(self.chain(WEB)) {
            let Some(http_filter::ConfigType::TypedConfig(config)) = &filter.config_type else { continue };
            if any::is::<HttpRbac>(config) {
                let rbac: HttpRbac = any::unpack(config).unwrap();
                if let Some(shadow) = rbac.shadow_rules.filter(|shadow| shadow.action() == Action::Deny) {
                    let result = if fitting(&shadow, &asked).is_empty() { "allowed" } else { "denied" };
                    said.insert(format!("{}shadow_engine_result", rbac.shadow_rules_stat_prefix), json!(result));
                }
            } else if any::is::<ExtAuthz>(config) {
                let question: ExtAuthz = any::unpack(config).unwrap();
                let enabled = question.filter_enabled_metadata.as_ref().unwrap();
                assert_eq!((enabled.filter.as_str(), enabled.path.len(), enabled.invert), ("envoy.filters.http.rbac", 1, true));
                let Some(path_segment::Segment::Key(key)) = &enabled.path[0].segment else { panic!("{enabled:?}") };
                if !is_value(enabled.value.as_ref().unwrap(), &said[key]) {
                    clusters.push(cluster_of(&question));
                }
            }
        }
        clusters
    }

    /// The filters of a listener, in order.
    pub(crate) fn names(&self, listener: &str) -> Vec<String> {
        let chain = self.chain(listener);
        let of_requests = http_filters(chain).into_iter().map(|filter| filter.name);
        chain.filters.iter().map(|filter| filter.name.clone()).filter(|name| name.contains("rbac")).chain(of_requests).collect()
    }

    pub(crate) fn filters(&self, listener: &str) -> usize {
        rules(self.chain(listener)).len()
    }

    /// Whether it is let in; if not, by which policy, which is none where nothing allows it.
    pub(crate) fn request(&self, caller: &Caller) -> Result<(), String> {
        decide(&rules(self.chain(WEB)), &Asked { caller, port: 8080, is_request: true })
    }

    pub(crate) fn connection(&self, caller: &Caller) -> Result<(), String> {
        decide(&rules(self.chain(TCP)), &Asked { caller, port: 5432, is_request: false })
    }

    /// Policies that are only counted and logged, and that fit.
    pub(crate) fn audited(&self, caller: &Caller) -> Vec<String> {
        let asked = Asked { caller, port: 8080, is_request: true };
        let shadows = rules(self.chain(WEB)).into_iter().filter_map(|(_, shadow)| shadow);
        shadows.flat_map(|shadow| fitting(&shadow, &asked)).collect()
    }
}

struct Asked<'a> {
    caller: &'a Caller,
    port: u32,
    is_request: bool,
}

type Both = (Option<Rbac>, Option<Rbac>);

/// What decides on a chain, in order, and what is only counted and logged.
fn rules(chain: &FilterChain) -> Vec<Both> {
    chain.filters.iter().flat_map(of_filter).collect()
}

fn http_filters(chain: &FilterChain) -> Vec<HttpFilter> {
    let configs = chain.filters.iter().filter_map(|filter| match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(config)) if any::is::<HttpConnectionManager>(config) => Some(config),
        _ => None,
    });
    configs.flat_map(|config| any::unpack::<HttpConnectionManager>(config).unwrap().http_filters).collect()
}

fn cluster_of(question: &ExtAuthz) -> String {
    match question.services.as_ref().unwrap() {
        Services::GrpcService(service) => match service.target_specifier.as_ref().unwrap() {
            TargetSpecifier::EnvoyGrpc(target) => target.cluster_name.clone(),
            other => panic!("{other:?}"),
        },
        Services::HttpService(service) => match service.server_uri.as_ref().unwrap().http_upstream_type.as_ref().unwrap() {
            HttpUpstreamType::Cluster(cluster) => cluster.clone(),
        },
    }
}

fn of_filter(filter: &Filter) -> Vec<Both> {
    let Some(filter::ConfigType::TypedConfig(config)) = &filter.config_type else { return Vec::new() };
    if any::is::<NetworkRbac>(config) {
        let rbac: NetworkRbac = any::unpack(config).unwrap();
        assert!(!rbac.stat_prefix.is_empty());
        return vec![(rbac.rules, rbac.shadow_rules)];
    }
    if !any::is::<HttpConnectionManager>(config) {
        return Vec::new();
    }
    let manager: HttpConnectionManager = any::unpack(config).unwrap();
    assert!(manager.http_filters.last().unwrap().name.ends_with("router"));
    let configs = manager.http_filters.iter().filter_map(|filter| match &filter.config_type {
        Some(http_filter::ConfigType::TypedConfig(config)) if any::is::<HttpRbac>(config) => any::unpack::<HttpRbac>(config).ok(),
        _ => None,
    });
    configs.map(|rbac| (rbac.rules, rbac.shadow_rules)).collect()
}

fn decide(filters: &[Both], asked: &Asked<'_>) -> Result<(), String> {
    for rules in filters.iter().filter_map(|(rules, _)| rules.as_ref()) {
        let first = fitting(rules, asked).into_iter().next();
        match (rules.action(), first) {
            (Action::Deny, Some(policy)) => return Err(policy),
            (Action::Allow, None) => return Err(String::new()),
            _ => {}
        }
    }
    Ok(())
}

fn fitting(rules: &Rbac, asked: &Asked<'_>) -> Vec<String> {
    let fits = |policy: &Policy| {
        assert!(!policy.permissions.is_empty() && !policy.principals.is_empty());
        policy.permissions.iter().any(|one| permitted(one, asked)) && policy.principals.iter().any(|one| is(one, asked))
    };
    rules.policies.iter().filter(|(_, policy)| fits(policy)).map(|(name, _)| name.clone()).collect()
}

fn permitted(permission: &Permission, asked: &Asked<'_>) -> bool {
    let caller = asked.caller;
    match permission.rule.as_ref().unwrap() {
        Rule::Any(any) => *any,
        Rule::AndRules(set) => set.rules.iter().all(|one| permitted(one, asked)),
        Rule::OrRules(set) => set.rules.iter().any(|one| permitted(one, asked)),
        Rule::NotRule(rule) => !permitted(rule, asked),
        Rule::DestinationPort(port) => *port == asked.port,
        Rule::DestinationIp(range) => within(range, "10.0.0.1".parse().unwrap()),
        Rule::RequestedServerName(name) => matches(name, caller.sni),
        rule => {
            assert!(asked.is_request, "a connection is asked for what only requests have: {rule:?}");
            match rule {
                Rule::Header(header) => has(header, caller),
                Rule::UrlPath(path) => {
                    let Some(path_matcher::Rule::Path(path)) = &path.rule else { panic!("{path:?}") };
                    matches(path, caller.path)
                }
                Rule::UriTemplate(template) => {
                    let config: UriTemplateMatchConfig = any::unpack(template.typed_config.as_ref().unwrap()).unwrap();
                    let expression = config.path_template.replace("**", "\0").replace('*', "[^/]+").replace('\0', ".*");
                    whole(&expression, caller.path)
                }
                rule => panic!("{rule:?}"),
            }
        }
    }
}

fn is(principal: &Principal, asked: &Asked<'_>) -> bool {
    match principal.identifier.as_ref().unwrap() {
        Identifier::Any(any) => *any,
        Identifier::AndIds(set) => set.ids.iter().all(|one| is(one, asked)),
        Identifier::OrIds(set) => set.ids.iter().any(|one| is(one, asked)),
        Identifier::NotId(id) => !is(id, asked),
        Identifier::Authenticated(who) => {
            asked.caller.principal.is_some_and(|principal| who.principal_name.as_ref().is_none_or(|name| matches(name, principal)))
        }
        Identifier::DirectRemoteIp(range) => within(range, asked.caller.ip),
        Identifier::SourcedMetadata(found) => {
            assert!(asked.is_request, "a connection is asked for what only requests have: {found:?}");
            assert_eq!(found.metadata_source(), MetadataSource::Dynamic);
            says(found.metadata_matcher.as_ref().unwrap(), asked.caller.claims.as_ref())
        }
        other => panic!("{other:?}"),
    }
}

fn says(matcher: &MetadataMatcher, claims: Option<&Value>) -> bool {
    assert_eq!((matcher.filter.as_str(), matcher.invert), ("envoy.filters.http.jwt_authn", false));
    let mut names = matcher.path.iter().map(|segment| match segment.segment.as_ref().unwrap() {
        path_segment::Segment::Key(key) => key.as_str(),
    });
    let kept = claims.map_or_else(|| json!({}), |claims| json!({ "payload": claims }));
    let value = names.try_fold(&kept, |value, name| value.get(name));
    value.is_some_and(|value| is_value(matcher.value.as_ref().unwrap(), value))
}

fn is_value(matcher: &ValueMatcher, value: &Value) -> bool {
    match matcher.match_pattern.as_ref().unwrap() {
        ValuePattern::StringMatch(text) => value.as_str().is_some_and(|value| matches(text, value)),
        ValuePattern::BoolMatch(wanted) => value.as_bool() == Some(*wanted),
        ValuePattern::DoubleMatch(number) => value.as_f64().is_some_and(|value| match number.match_pattern.as_ref().unwrap() {
            double_matcher::MatchPattern::Exact(exact) => value.total_cmp(exact).is_eq(),
            double_matcher::MatchPattern::Range(range) => range.start <= value && value < range.end,
        }),
        ValuePattern::OrMatch(or) => or.value_matchers.iter().any(|one| is_value(one, value)),
        ValuePattern::ListMatch(list) => {
            let Some(list_matcher::MatchPattern::OneOf(one)) = &list.match_pattern else { panic!("{list:?}") };
            value.as_array().is_some_and(|list| list.iter().any(|value| is_value(one, value)))
        }
        other => panic!("{other:?}"),
    }
}

fn has(matcher: &HeaderMatcher, caller: &Caller) -> bool {
    let value = match matcher.name.as_str() {
        ":authority" => Some(caller.host),
        ":method" => Some(caller.method),
        name => caller.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value),
    };
    match matcher.header_match_specifier.as_ref().unwrap() {
        HeaderMatchSpecifier::PresentMatch(present) => value.is_some() == *present,
        HeaderMatchSpecifier::StringMatch(matcher) => value.is_some_and(|value| matches(matcher, value)),
        other => panic!("{other:?}"),
    }
}

fn matches(matcher: &StringMatcher, text: &str) -> bool {
    match matcher.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(exact) => text == exact,
        MatchPattern::Prefix(prefix) => !prefix.is_empty() && text.starts_with(prefix),
        MatchPattern::Suffix(suffix) => !suffix.is_empty() && text.ends_with(suffix),
        MatchPattern::SafeRegex(regex) => whole(&regex.regex, text),
        other => panic!("{other:?}"),
    }
}

fn whole(expression: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{expression})$")).unwrap().is_match(text)
}

fn within(range: &CidrRange, ip: IpAddr) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (32, u128::from(u32::from(ip))),
        IpAddr::V6(ip) => (128, u128::from(ip)),
    };
    let ((width, first), (other, ip)) = (bits(range.address_prefix.parse().unwrap()), bits(ip));
    let length = range.prefix_len.unwrap();
    width == other && (length == 0 || first >> (width - length) == ip >> (width - length))
}
