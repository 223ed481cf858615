use serde::Deserialize as _;
use serde_json::{Map, Number, Value, json};

use crate::model::fault::Fault;
use crate::model::kind::Kind;
use crate::model::limits::Limits;
use crate::model::name::{Key, Name};
use crate::model::service::Labels;
use crate::proxies::node::Node;
use crate::source::manifest;

/// Bytes of a workload's description.
const LONGEST: usize = 16 * 1024;

/// What a sidecar says of the workload beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Its name.
    pub name: Name,
    /// Who it is.
    pub account: String,
    /// It as a `Workload`, which breaks no rule.
    pub object: Value,
    /// Which labels it may have: all of them hold.
    pub limits: Vec<Limits>,
}

impl Claim {
    /// Which labels it may have, by `proof`. What it leaves out of them is as if it had said it.
    ///
    /// # Errors
    /// It says something else.
    pub fn limit(&mut self, limits: &Limits, proof: &str) -> Result<(), String> {
        if limits.is_none() {
            return Ok(());
        }
        let own = limits.apply(&labels(&self.object)).map_err(|why| format!("{proof} does not allow what LABELS says: {why}"))?;
        if let Some(metadata) = self.object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("labels".to_owned(), json!(own));
        }
        self.limits.push(limits.clone());
        Ok(())
    }
}

/// Whether limits let somebody have the labels of a `Workload`.
///
/// # Errors
/// One that he may not have, in words.
pub(super) fn permit(limits: &[Limits], object: &Value) -> Result<(), String> {
    let labels = labels(object);
    limits.iter().try_for_each(|limits| limits.apply(&labels).map(drop))
}

fn labels(object: &Value) -> Labels {
    object.pointer("/metadata/labels").and_then(|labels| Labels::deserialize(labels).ok()).unwrap_or_default()
}

/// Keys of the node's metadata, in Istio's spelling where Istio has one, and the fields of a `Workload` that they become.
const KEYS: [(&str, &str); 7] = [
    ("NAMESPACE", "metadata.namespace"),
    ("WORKLOAD_NAME", "metadata.name"),
    ("SERVICE_ACCOUNT", "spec.serviceAccount"),
    ("LABELS", "metadata.labels"),
    ("ADDRESSES", "spec.addresses"),
    ("PORTS", "spec.ports"),
    ("SIDECAR", "spec.sidecar"),
];

/// Reads it from the node's metadata. Where no namespace is named it is `namespace`, where no account `account`; where no address, the
/// one that it connects from.
///
/// # Errors
/// What is wrong, each with its key.
pub fn read(node: &Node, namespace: &str, account: &str) -> Result<Claim, Vec<Fault>> {
    let text = |key: &str, default: &str| match node.metadata.get(key) {
        None => Ok(default.to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(vec![Fault::at(key, "not a text")]),
    };
    let (namespace, name) = (text("NAMESPACE", namespace)?, text("WORKLOAD_NAME", &node.id)?);
    let account = text("SERVICE_ACCOUNT", account)?;
    let given = |key: &str| node.metadata.get(key).cloned().map(whole);
    let from = node.address.map(|address| json!([address.ip().to_canonical().to_string()]));
    let addresses = given("ADDRESSES").or(from);
    let spec = [
        ("addresses", Some(addresses.unwrap_or_else(|| json!([])))),
        ("ports", given("PORTS")),
        ("serviceAccount", Some(json!(account))),
        ("locality", locality(node)),
        ("sidecar", sidecar(given("SIDECAR"), node.identity.is_some())),
    ];
    let mut object = json!({
        "apiVersion": Kind::Workload.api_version(),
        "kind": Kind::Workload.as_str(),
        "metadata": {"namespace": namespace, "name": name},
        "spec": Value::Object(fields(spec)),
    });
    if let (Some(labels), Some(metadata)) = (given("LABELS"), object.get_mut("metadata").and_then(Value::as_object_mut)) {
        metadata.insert("labels".to_owned(), labels);
    }
    let length = object.to_string().len();
    if length > LONGEST {
        return Err(vec![Fault::at("", format!("the workload's description has {length} bytes, {LONGEST} at most"))]);
    }
    let (Key { name, .. }, _) = manifest::read(&object).map_err(|faults| faults.into_iter().map(by_key).collect::<Vec<_>>())?;
    Ok(Claim { name, account, object, limits: Vec::new() })
}

fn fields<const N: usize>(given: [(&str, Option<Value>); N]) -> Map<String, Value> {
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn locality(node: &Node) -> Option<Value> {
    let of = &node.locality;
    let parts = [("region", &of.region), ("zone", &of.zone), ("subZone", &of.sub_zone)];
    let said = fields(parts.map(|(name, part)| (name, (!part.is_empty()).then(|| json!(part)))));
    (!said.is_empty()).then_some(Value::Object(said))
}

/// One that has a certificate can be reached by mutual TLS, whether it says so or not.
fn sidecar(said: Option<Value>, is_known: bool) -> Option<Value> {
    if !is_known {
        return said;
    }
    let mut sidecar = said.unwrap_or_else(|| json!({}));
    // What is no object is refused as it is.
    if let Some(sidecar) = sidecar.as_object_mut() {
        sidecar.insert("mutualTls".to_owned(), json!(true));
    }
    Some(sidecar)
}

/// In protobuf every number is a floating one.
fn whole(value: Value) -> Value {
    /// From here on not every whole number can be told from the next.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let exact = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT);
            // A whole number is written without a point.
            let read = exact.and_then(|number| format!("{number:.0}").parse::<i64>().ok());
            Value::Number(read.map_or(number, Number::from))
        }
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, whole(value))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

/// A field's fault, told of the key that it came from.
fn by_key(fault: Fault) -> Fault {
    let found = KEYS.iter().find_map(|(key, field)| {
        let rest = fault.path.strip_prefix(field)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{key}{rest}"))
    });
    Fault { path: found.unwrap_or_else(|| fault.path.clone()), ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxies::node::Locality;

    fn node(metadata: &Value) -> Node {
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        let locality = Locality { zone: "b".to_owned(), ..Locality::default() };
        Node { id: "cart-1".to_owned(), metadata, locality, address: "10.0.0.7:4711".parse().ok(), ..Node::default() }
    }

    #[test]
    fn a_workload_is_read_from_the_nodes_metadata() {
        let said = json!({
            "NAMESPACE": "shop", "WORKLOAD_NAME": "cart-2", "LABELS": {"app": "cart"}, "ISTIO_VERSION": "1.28",
            "PORTS": [{"name": "http", "port": 8080.0, "applicationPort": 9090.0}], "SIDECAR": {"outbound": "127.0.0.1:15001"},
        });
        let claim = read(&node(&said), "default", "carts").unwrap();
        assert_eq!((claim.name, claim.account.as_str()), (Name::new("shop", "cart-2"), "carts"));
        let object = json!({
            "apiVersion": "ninon.dev/v1alpha1", "kind": "Workload",
            "metadata": {"namespace": "shop", "name": "cart-2", "labels": {"app": "cart"}},
            "spec": {
                "addresses": ["10.0.0.7"], "serviceAccount": "carts", "locality": {"zone": "b"},
                "ports": [{"name": "http", "port": 8080, "applicationPort": 9090}], "sidecar": {"outbound": "127.0.0.1:15001"},
            },
        });
        assert_eq!(claim.object, object);
        let bare = read(&node(&json!({"ADDRESSES": ["::1"]})), "default", "default").unwrap();
        assert_eq!((bare.name, bare.object["spec"]["addresses"].clone()), (Name::new("default", "cart-1"), json!(["::1"])));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_key() {
        let wrong = |said: Value| read(&node(&said), "default", "default").unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(wrong(json!({"NAMESPACE": 7})), ["NAMESPACE: not a text"]);
        assert!(wrong(json!({"NAMESPACE": "Shop"}))[0].starts_with("NAMESPACE: "));
        assert!(wrong(json!({"WORKLOAD_NAME": "a/b"}))[0].starts_with("WORKLOAD_NAME: "));
        assert!(wrong(json!({"LABELS": {"app": 7}}))[0].starts_with("LABELS"));
        assert!(wrong(json!({"PORTS": [{"port": 80}, {"port": 70_000}]}))[0].starts_with("PORTS[1].port: "));
        assert!(wrong(json!({"PORTS": [{"port": 80.5}]}))[0].starts_with("PORTS[0].port: "));
        assert!(wrong(json!({"PORTS": [{"port": 80, "tls": true}]}))[0].starts_with("PORTS[0].tls: "));
        assert!(wrong(json!({"ADDRESSES": ["cart.example"]}))[0].starts_with("ADDRESSES[0]: "));
        assert!(wrong(json!({"SIDECAR": {"inbound": "x"}}))[0].starts_with("SIDECAR.inbound: "));
        assert!(wrong(json!({"LABELS": {"app": "x".repeat(20_000)}}))[0].contains("16384 at most"));
    }
}
