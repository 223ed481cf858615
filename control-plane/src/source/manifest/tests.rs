/// Every field that may be written.
mod fields;

use super::*;
use crate::source::yaml;

fn read_text(text: &str) -> Result<(Key, Object), Vec<String>> {
    let document = yaml::documents(text).remove(0).unwrap();
    read(&document.value).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn refused(text: &str, faults: &[&str]) {
    assert_eq!(read_text(text).unwrap_err(), faults);
}

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart, port: 80}]
";

#[test]
fn a_service_as_kubectl_shows_it_is_read() {
    let (key, object) = read_text(
        "
apiVersion: v1
kind: Service
metadata:
  name: cart
  namespace: shop
  uid: 5b1d
  resourceVersion: '42'
  creationTimestamp: 2026-01-02T03:04:05Z
  labels: {app: cart}
  managedFields: [{manager: kubectl, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {'f:spec': {}}}]
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, 'fd00::a']
  internalTrafficPolicy: Cluster
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: PreferDualStack
  ports:
  - {name: http, port: 80, targetPort: web, protocol: TCP}
  - {name: grpc-admin, port: 9000}
  - {name: dns, port: 53, protocol: UDP}
  selector: {app: cart}
  sessionAffinity: None
  type: ClusterIP
status: {loadBalancer: {}}
",
    )
    .unwrap();
    assert_eq!(key.to_string(), "Service shop/cart");
    let Object::Service(service) = object else { panic!("{object:?}") };
    let ports: Vec<_> = service.ports.iter().map(|port| (&*port.name, port.number, port.protocol, &port.target)).collect();
    use crate::model::service::{Protocol, Target};
    assert_eq!(
        ports,
        [("http", 80, Protocol::Http, &Target::Name("web".into())), ("grpc-admin", 9000, Protocol::Http2, &Target::Number(9000))]
    );
    assert_eq!(service.addresses.len(), 2);
}

#[test]
fn a_field_that_is_not_there_is_a_fault_wherever_it_stands() {
    refused(
        &format!("{ROUTE}  rules:\n  - matches: [{{path: {{value: /}}, pfad: 1}}]\n    backends: []\n"),
        &["spec.rules[0].backends: there is no such field", "spec.rules[0].matches[0].pfad: there is no such field"],
    );
    refused(
        "{apiVersion: ninon.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {addresses: [10.0.0.1], port: 1}}",
        &["spec.port: there is no such field"],
    );
}

#[test]
fn a_wrong_type_is_a_fault_with_its_path() {
    refused(
        &format!("{ROUTE}  rules:\n  - backendRefs: [{{name: cart, port: http}}]\n"),
        &["spec.rules[0].backendRefs[0].port: invalid type: string \"http\", expected i32"],
    );
}

#[test]
fn all_broken_rules_are_told_at_once() {
    refused(
        &format!(
            "{ROUTE}  rules:
  - matches:
    - path: {{value: cart}}
    - path: {{type: RegularExpression, value: '/(a'}}
    - headers: [{{name: 'a b', value: x}}]
    filters:
    - {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: a, value: \"b\\n\"}}]}}}}
    - {{type: URLRewrite}}
    backendRefs: [{{name: cart, port: 70000, weight: -1}}]
    timeouts: {{request: 1s, backendRequest: 1m}}
    retry: {{codes: [200]}}
"
        ),
        &[
            "spec.rules[0].matches[0].path.value: \"cart\" must begin with '/'",
            "spec.rules[0].matches[1].path.value: \"/(a\" is not a regular expression: unclosed group",
            "spec.rules[0].matches[2].headers[0].name: \"a b\" is not the name of a header",
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].value: \"b\\n\" is not the value of a header",
            "spec.rules[0].filters[1].urlRewrite: required with this type",
            "spec.rules[0].backendRefs[0].weight: -1 is not between 0 and 1000000",
            "spec.rules[0].backendRefs[0].port: 70000 is not a port: 1 to 65535",
            "spec.rules[0].timeouts.backendRequest: must not be longer than request",
            "spec.rules[0].retry.codes[0]: 200 is not between 400 and 599",
        ],
    );
}

#[test]
fn a_name_and_a_kind_are_required() {
    refused("{kind: Service}", &["apiVersion: required"]);
    refused("{apiVersion: v1, kind: Pod, metadata: {name: a}}", &["kind: \"Pod\" of \"v1\" is not a kind that Ninon has"]);
    refused("{apiVersion: v1, kind: Service, metadata: {}}", &["metadata.name: required"]);
    let wrong = read_text("{apiVersion: v1, kind: Service, metadata: {name: a.b, namespace: _}}").unwrap_err();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}

#[test]
fn what_is_not_named_has_the_default_namespace() {
    let (key, _) = read_text("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}").unwrap();
    assert_eq!(key.name.to_string(), "default/a");
}

#[test]
fn a_rule_of_an_unsupported_filter_says_so_and_is_no_fault() {
    let text = format!(
        "{ROUTE}  rules:\n  - filters: [{{type: CORS, cors: {{allowOrigins: ['*']}}}}]\n    backendRefs: [{{name: cart, port: 80}}]\n"
    );
    let Ok((_, Object::Route(route))) = read_text(&text) else { panic!("{:?}", read_text(&text)) };
    assert_eq!(route.rules[0].filters.unsupported, ["CORS"]);
}

#[test]
fn a_grpc_method_is_a_path() {
    use crate::model::route::PathMatch;
    let text = "
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: prices, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: prices}]
  rules:
  - matches:
    - method: {service: shop.Prices, method: Get}
    - method: {service: shop.Prices}
    - method: {method: Get}
    - method: {type: RegularExpression, service: 'shop\\.[A-Z]+'}
    - {}
";
    let Ok((_, Object::Route(route))) = read_text(text) else { panic!("{:?}", read_text(text)) };
    let paths: Vec<_> = route.rules[0].matches.iter().map(|one| one.path.clone()).collect();
    let regex = |text: &str| PathMatch::Regex(text.into());
    assert_eq!(
        paths,
        [
            PathMatch::Exact("/shop.Prices/Get".into()),
            PathMatch::Prefix("/shop.Prices".into()),
            regex("/[^/]+/Get"),
            regex("/shop\\.[A-Z]+/[^/]+"),
            PathMatch::default()
        ]
    );
}

#[test]
fn every_kind_has_a_schema() {
    for kind in Kind::ALL {
        let schema = schema(kind);
        assert!(schema.pointer("/properties/spec").is_some() || kind == Kind::EndpointSlice, "{kind}: {schema}");
    }
}

#[test]
fn retries_have_a_number_or_a_share() {
    let policy = |limits: &str| {
        format!(
            "apiVersion: ninon.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: a, namespace: shop}}\nspec: {{targetRef: {{name: cart}}, limits: {limits}}}\n"
        )
    };
    let retries = |limits: &str| {
        let Object::TrafficPolicy(policy) = read_text(&policy(limits)).unwrap().1 else { panic!("a policy") };
        policy.limits.retries
    };
    use crate::model::policy::Retries;
    assert_eq!(retries("{}"), None);
    assert_eq!(retries("{maxRetries: 0}"), Some(Retries::Most(0)));
    assert_eq!(retries("{retryBudget: {}}"), Some(Retries::Budget { percent: 20, least: 3 }));
    assert_eq!(retries("{retryBudget: {percent: 0, minConcurrency: 0}}"), Some(Retries::Budget { percent: 0, least: 0 }));
    refused(&policy("{retryBudget: {percent: 101}}"), &["spec.limits.retryBudget.percent: 101 is more than 100"]);
    let both = "spec.limits.maxRetries: not with retryBudget, in place of which it would be";
    refused(&policy("{maxRetries: 1, retryBudget: {}}"), &[both]);
}

#[test]
fn what_would_be_sent_elsewhere_than_meant_is_refused() {
    let service =
        |spec: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: cart}}\nspec: {{{spec}, ports: [{{port: 80}}]}}\n");
    let instead = "is not supported: a TrafficPolicy with loadBalancer.hash.sourceAddress does that";
    refused(&service("sessionAffinity: ClientIP"), &[&format!("spec.sessionAffinity: \"ClientIP\" {instead}")]);
    let local = "spec.internalTrafficPolicy: \"Local\" is not supported: all endpoints are used";
    refused(&service("internalTrafficPolicy: Local"), &[local]);
    let gateways = "spec.useDefaultGateways: \"All\" is not supported: there are no Gateways";
    refused(&format!("{ROUTE}  useDefaultGateways: All\n"), &[gateways]);
    assert!(read_text(&format!("{ROUTE}  useDefaultGateways: None\n")).is_ok());
}

#[test]
fn ports_of_a_slice_that_are_not_tcp_pass_by() {
    let slice = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}, {name: http, port: 80}]
";
    let Object::EndpointSlice(slice) = read_text(slice).unwrap().1 else { panic!("a slice") };
    let names: Vec<&str> = slice.ports.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["dns-tcp", "http"]);
}

#[test]
fn what_is_written_for_istio_is_read_as_it_is() {
    let text = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  action: ALLOW
  rules:
  - from:
    - source: {principals: [cluster.local/ns/shop/sa/web]}
    to:
    - operation: {methods: [GET], paths: [/cart/*]}
    when:
    - {key: 'request.headers[x-user]', values: ['*']}
";
    let (key, object) = read_text(text).unwrap();
    assert_eq!(key.to_string(), "AuthorizationPolicy shop/web");
    assert!(matches!(object, Object::AuthorizationPolicy(policy) if policy.rules.len() == 1));
    let unknown = text.replace("principals", "principal");
    refused(&unknown, &["spec.rules[0].from[0].source.principal: there is no such field"]);
    let unknown = text.replace("action: ALLOW", "action: PERMIT");
    assert!(read_text(&unknown).unwrap_err()[0].starts_with("spec.action: unknown variant `PERMIT`"));
}
