//! Shapes of answers that are no objects of a kind.

use serde_json::{Map, Value, json};

use crate::authority::revocation::Reason;
use crate::model::kind::Kind;

/// Every one by its name.
pub(super) fn all() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let number = count();
    let maybe_number = json!({"type": ["integer", "null"], "minimum": 1});
    let verdict = json!({"enum": ["created", "configured", "unchanged", "deleted"]});
    let seconds = json!({"type": "number", "minimum": 0});
    let field = shape(&[("path", &text), ("problem", &text)], &[]);
    let object = json!({"type": "object"});
    let result = [("kind", &text), ("namespace", &text), ("name", &text), ("result", &verdict)];
    let result = shape(&result, &[("before", &object), ("after", &object)]);
    let change = [("kind", &text), ("namespace", &text), ("name", &text), ("change", &verdict)];
    let change = shape(&change, &[("before", &object), ("after", &object)]);
    let changes = array(&change);
    let revision = [("revision", &number), ("time", &text), ("author", &text), ("message", &text), ("changes", &changes)];
    let refusal = shape(&[("version", &text), ("reason", &text), ("seconds", &seconds)], &[]);
    let refused = json!({"anyOf": [refusal, {"type": "null"}]});
    let flag = json!({"type": "boolean"});
    let of_type =
        [("type", &text), ("wildcard", &flag), ("subscribed", &number), ("sent", &text), ("acknowledged", &text), ("refused", &refused)];
    let types = array(&shape(&of_type, &[]));
    let maybe_text = json!({"type": ["string", "null"]});
    let proxy = [
        ("id", &text),
        ("namespace", &text),
        ("workload", &text),
        ("identity", &maybe_text),
        ("client", &text),
        ("address", &text),
        ("protocol", &text),
        ("connectedSeconds", &seconds),
        ("synced", &flag),
        ("staleSeconds", &seconds),
        ("types", &types),
    ];
    let became = json!({"enum": ["notSent", "sent", "acknowledged", "refused"]});
    let content = json!({"type": ["object", "null"]});
    let resource = [("type", &text), ("name", &text), ("version", &text), ("status", &became), ("content", &content)];
    let resource = shape(&resource, &[]);
    let fate = json!({"enum": ["added", "changed", "removed"]});
    let told = array(&shape(&[("type", &text), ("name", &text), ("change", &fate)], &[]));
    let told = shape(&[("id", &text), ("namespace", &text), ("changes", &told)], &[]);
    let status = json!({"type": "integer", "minimum": 400, "maximum": 599});
    let problem = [("type", &text), ("title", &text), ("status", &status), ("detail", &text)];
    let shapes = [
        ("Problem", shape(&problem, &[("errors", &array(&field))])),
        ("Applied", shape(&[("revision", &maybe_number), ("results", &array(&result))], &[("proxies", &array(&told))])),
        ("Revision", shape(&revision, &[])),
        ("Revisions", shape(&[("items", &array(&reference("Revision")))], &[])),
        ("Proxy", shape(&proxy, &[])),
        ("Proxies", shape(&[("items", &array(&reference("Proxy")))], &[])),
        ("Token", token()),
        ("Tokens", shape(&[("items", &array(&reference("Token")))], &[])),
        ("Authority", authority()),
        ("Revocation", revocation()),
        ("Revocations", shape(&[("items", &array(&reference("Revocation")))], &[])),
        ("Loads", shape(&[("items", &array(&load()))], &[])),
        ("ProxyConfig", shape(&[("resources", &array(&resource))], &[])),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}

fn authority() -> Value {
    let (text, flag, maybe_text) = (json!({"type": "string"}), json!({"type": "boolean"}), json!({"type": ["string", "null"]}));
    let root =
        [("fingerprint", &text), ("pin", &text), ("notBefore", &text), ("notAfter", &text), ("signs", &flag), ("certificate", &text)];
    let (step, names) = (json!({"enum": ["steady", "distributing", "issuing"]}), array(&text));
    let rotation = shape(&[("step", &step), ("since", &text), ("until", &maybe_text), ("waitsFor", &names)], &[]);
    let roots = array(&shape(&root, &[]));
    let all = [("trustDomain", &text), ("madeHere", &flag), ("roots", &roots), ("rotation", &rotation), ("fault", &maybe_text)];
    shape(&all, &[])
}

fn revocation() -> Value {
    let (text, maybe_text) = (json!({"type": "string"}), json!({"type": ["string", "null"]}));
    let reason = json!({"enum": Reason::ALL.map(Reason::as_str)});
    let all = [("id", &text), ("serial", &maybe_text), ("identity", &maybe_text), ("reason", &reason), ("since", &text), ("until", &text)];
    shape(&all, &[])
}

fn token() -> Value {
    let text = json!({"type": "string"});
    let flag = json!({"type": "boolean"});
    let maybe_text = json!({"type": ["string", "null"]});
    let maybe_count = json!({"type": ["integer", "null"], "minimum": 1});
    let texts = array(&text);
    let labels = json!({"type": "object", "additionalProperties": text});
    let token = [
        ("id", &text),
        ("namespace", &text),
        ("serviceAccount", &text),
        ("workload", &maybe_text),
        ("labels", &labels),
        ("created", &text),
        ("expires", &text),
        ("expired", &flag),
        ("signed", &flag),
        ("uses", &maybe_count),
        ("used", &texts),
    ];
    shape(&token, &[("token", &text)])
}

/// The load of a cluster.
fn load() -> Value {
    let (text, number, seconds) = (json!({"type": "string"}), count(), json!({"type": "number", "minimum": 0}));
    let requests = [
        ("issued", &number),
        ("successful", &number),
        ("failed", &number),
        ("inProgress", &number),
        ("requestsPerSecond", &seconds),
        ("failuresPerSecond", &seconds),
        ("reporters", &number),
    ];
    let localities = array(&shape(&[&[("region", &text), ("zone", &text), ("subZone", &text)][..], &requests].concat(), &[]));
    let load = [("cluster", &text), ("dropped", &number), ("ageSeconds", &seconds), ("localities", &localities)];
    shape(&[&load[..], &requests].concat(), &[])
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// A list of a kind.
pub(super) fn list(kind: Kind) -> Value {
    let text = json!({"type": "string"});
    let metadata = shape(&[("resourceVersion", &text)], &[("continue", &text)]);
    let of_kind = json!({"const": format!("{kind}List")});
    shape(&[("apiVersion", &text), ("kind", &of_kind), ("metadata", &metadata), ("items", &array(&reference(kind.as_str())))], &[])
}

fn shape(needed: &[(&str, &Value)], other: &[(&str, &Value)]) -> Value {
    let names: Vec<_> = needed.iter().map(|(name, _)| *name).collect();
    let properties: Map<_, _> = needed.iter().chain(other).map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
    json!({"type": "object", "required": names, "properties": properties, "additionalProperties": false})
}

fn array(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
