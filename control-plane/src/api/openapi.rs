//! The API's description of itself: an OpenAPI 3.1 document, from the routes' table and the kinds' schemas.

/// Shapes of answers.
mod shapes;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::api::problem::PROBLEM;
use crate::api::routes::Path;
use crate::api::watch::LINES_OF_JSON;
use crate::authority::revocation::Reason;
use crate::model::kind::Kind;
use crate::model::limits;
use crate::token::{LONGEST, MOST_USES};

/// The document.
pub(super) async fn get(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(document(&api))
}

fn document(api: &Api) -> Value {
    let mut paths = Map::new();
    for path in Path::ALL {
        for (template, item) in items(path) {
            paths.insert(template, item);
        }
    }
    let mut schemas = shapes::all();
    for kind in Kind::ALL {
        schemas.insert(kind.as_str().to_owned(), placed((api.hooks.schema)(kind), kind));
        schemas.insert(format!("{kind}List"), shapes::list(kind));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ninon",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Objects, their history, and the proxies that follow them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "A token of the state directory."}},
            "schemas": schemas,
        },
    })
}

/// A schema's own definitions are found from the root of the document.
fn placed(mut schema: Value, kind: Kind) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
    }
    move_references(&mut schema, &format!("#/components/schemas/{kind}/$defs/"));
    schema
}

fn move_references(schema: &mut Value, to: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("$ref") {
                *text = text.replace("#/$defs/", to);
            }
            fields.values_mut().for_each(|value| move_references(value, to));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a path has, under its template; paths of objects are told for each kind.
fn items(path: Path) -> Vec<(String, Value)> {
    let one = |item: Value| vec![(path.template().to_owned(), item)];
    match path {
        Path::Health => one(json!({"get": open("health", "Whether the process runs")})),
        Path::Ready => one(json!({"get": open("ready", "Whether it serves")})),
        Path::Metrics => one(json!({"get": operation("metrics", "Metrics in Prometheus' text form", &text())})),
        Path::OpenApi => {
            one(json!({"get": operation("openapi", "This document", &answer("200", "The document", &json!({"type": "object"})))}))
        }
        Path::Revisions => one(json!({"get": history()})),
        Path::Revision => {
            let parameters = json!([{"name": "revision", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}}]);
            let get = operation("revision", "One revision, with the objects before and after", &of("200", "The revision", "Revision"));
            one(json!({"get": with(get, "parameters", parameters)}))
        }
        Path::Rollback => one(json!({"post": rollback()})),
        Path::Apply => one(json!({"post": apply()})),
        Path::Proxies => one(json!({"get": operation("proxies", "The proxies that are connected", &of("200", "Proxies", "Proxies"))})),
        Path::Proxy => {
            let get = operation("proxy", "One proxy", &of("200", "The proxy", "Proxy"));
            one(json!({"get": with(get, "parameters", json!([named("id")]))}))
        }
        Path::ProxyConfig => {
            let get = operation(
                "proxyConfig",
                "What a proxy was sent, and what became of each resource",
                &of("200", "Its resources", "ProxyConfig"),
            );
            one(json!({"get": with(get, "parameters", json!([named("id")]))}))
        }
        Path::Tokens => one(json!({
            "get": operation("tokens", "Tokens by which workloads join, without their secrets", &of("200", "Tokens", "Tokens")),
            "post": create_token(),
        })),
        Path::Token => {
            let revoke = operation("revokeToken", "Take a token away", &of("200", "What it was", "Token"));
            one(json!({"delete": with(revoke, "parameters", json!([named("id")]))}))
        }
        Path::Ca | Path::CaRotate | Path::CaRevocations | Path::CaRevocation => one(of_authority(path)),
        Path::Loads => one(json!({"get": operation("loads", "The load that is reported", &of("200", "By cluster and locality", "Loads"))})),
        Path::Kind => each(|_| true, |kind| (format!("/api/v1/{}", kind.plural()), json!({"get": list(kind, false)}))),
        Path::KindNamespace => each(
            |_| true,
            |kind| match kind.is_namespaced() {
                true => (format!("/api/v1/{}/{{namespace}}", kind.plural()), json!({"get": list(kind, true)})),
                false => (format!("/api/v1/{}/{{name}}", kind.plural()), object(kind)),
            },
        ),
        Path::KindNamespaceName => {
            each(Kind::is_namespaced, |kind| (format!("/api/v1/{}/{{namespace}}/{{name}}", kind.plural()), object(kind)))
        }
    }
}

/// What the authority's paths have.
fn of_authority(path: Path) -> Value {
    let shown = |says: &str| of("200", says, "Authority");
    if path == Path::CaRotate {
        return json!({"post": operation("rotateAuthority", "Begin to replace the root", &shown("The authority, as it is now"))});
    }
    if path == Path::CaRevocations {
        let says = "Certificates that were revoked and could still hold";
        return json!({"get": operation("revocations", says, &of("200", "Revocations", "Revocations")), "post": revoke()});
    }
    if path == Path::CaRevocation {
        let restore = operation("restore", "Take a revocation back", &of("200", "What it was", "Revocation"));
        return json!({"delete": with(restore, "parameters", json!([named("id")]))});
    }
    json!({"get": operation("authority", "Who signs and who is trusted", &shown("The authority"))})
}

fn each(meant: impl Fn(Kind) -> bool, item: impl Fn(Kind) -> (String, Value)) -> Vec<(String, Value)> {
    Kind::ALL.into_iter().filter(|kind| meant(*kind)).map(item).collect()
}

fn list(kind: Kind, in_namespace: bool) -> Value {
    let mut parameters = vec![
        query("labelSelector", "As kubectl's `-l`.", &json!({"type": "string"})),
        query("limit", "Objects of a page; 0 for all.", &json!({"type": "integer", "minimum": 0})),
        query("continue", "Where the next page begins, as the last one said.", &json!({"type": "string"})),
        query("watch", "Follow what happens: a line of JSON for each event, until the connection ends.", &json!({"type": "boolean"})),
        query("resourceVersion", "Follow from here; without it, from what there is.", &json!({"type": "string"})),
        query("timeoutSeconds", "End following after this.", &json!({"type": "integer", "minimum": 0})),
    ];
    if in_namespace {
        parameters.insert(0, named("namespace"));
    }
    let place = if in_namespace { "InNamespace" } else { "" };
    let mut answers = of("200", "The objects, or what happens to them", &format!("{kind}List"));
    if let Some(content) = answers.pointer_mut("/200/content").and_then(Value::as_object_mut) {
        content.insert(LINES_OF_JSON.to_owned(), json!({"schema": {}}));
    }
    with(
        operation(&format!("list{kind}{place}"), &format!("{} and what happens to them", kind.plural()), &answers),
        "parameters",
        json!(parameters),
    )
}

fn object(kind: Kind) -> Value {
    let place = if kind.is_namespaced() { vec![named("namespace"), named("name")] } else { vec![named("name")] };
    let condition = |name: &str, says: &str| json!({"name": name, "in": "header", "description": says, "schema": {"type": "string"}});
    let if_match = condition("If-Match", "The resourceVersion that the object must have, or *.");
    let if_none_match = condition("If-None-Match", "* when the object must not be there.");
    let shape = reference(kind.as_str());
    let mut put_answers = of("200", "The object as it is now", kind.as_str());
    merge(&mut put_answers, &of("201", "The object, which is new", kind.as_str()));
    let body = json!({"required": true, "content": {"application/json": {"schema": shape}, "application/yaml": {"schema": shape}}});
    let put = with(operation(&format!("put{kind}"), "Make an object what is sent", &put_answers), "requestBody", body);
    let get = operation(&format!("get{kind}"), "One object", &of("200", "The object", kind.as_str()));
    let delete = operation(&format!("delete{kind}"), "Delete an object", &of("200", "What it was", kind.as_str()));
    let conditions = [if_match, if_none_match];
    json!({
        "parameters": place,
        "get": get,
        "put": with(put, "parameters", json!([&changes()[..], &conditions].concat())),
        "delete": with(delete, "parameters", json!([&changes()[..], &conditions].concat())),
    })
}

fn history() -> Value {
    let kinds: Vec<_> = Kind::ALL.into_iter().map(Kind::plural).collect();
    let parameters = json!([
        query("kind", "Only of an object of this kind, with `name`.", &json!({"enum": kinds})),
        query("namespace", "The object's namespace.", &json!({"type": "string"})),
        query("name", "The object's name.", &json!({"type": "string"})),
        query("before", "Only revisions before this one.", &json!({"type": "integer", "minimum": 0})),
        query("limit", "Revisions at most.", &json!({"type": "integer", "minimum": 1, "maximum": 1000})),
    ]);
    with(operation("revisions", "What was changed, newest first", &of("200", "Revisions", "Revisions")), "parameters", parameters)
}

fn rollback() -> Value {
    let schema = json!({
        "type": "object", "required": ["revision"], "additionalProperties": false,
        "properties": {"revision": {"type": "integer", "minimum": 0}, "message": {"type": "string", "maxLength": 250}},
    });
    let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    let post = with(
        operation("rollback", "Make all objects what they were after a revision", &of("200", "What it did", "Applied")),
        "requestBody",
        body,
    );
    with(post, "parameters", json!([dry_run(), author()]))
}

fn apply() -> Value {
    let any: Vec<_> = Kind::ALL.into_iter().map(|kind| reference(kind.as_str())).collect();
    let items = json!({"type": "array", "items": {"anyOf": any}});
    let schema = json!({"anyOf": [
        {"type": "object", "required": ["kind", "items"], "properties": {"kind": {"type": "string", "pattern": "List$"}, "items": items}},
        items,
    ]});
    let body = json!({"required": true, "content": {"application/json": {"schema": schema}, "application/yaml": {"schema": schema}}});
    let says = "Create or change many objects: all of them or none, as one revision";
    let post = with(operation("apply", says, &of("200", "What it did", "Applied")), "requestBody", body);
    with(post, "parameters", json!(changes()))
}

fn create_token() -> Value {
    let maybe = |kind: &str, least: u64, most: u64| json!({"type": [kind, "null"], "minimum": least, "maximum": most});
    let maybe_name = json!({"type": ["string", "null"], "minLength": 1, "maxLength": 253});
    let value = json!({"type": "string", "pattern": r"^(\*|[-A-Za-z0-9_.]{0,63})$"});
    let key = json!({"pattern": r"^[-A-Za-z0-9_./]{1,317}$"});
    let labels = json!({"type": ["object", "null"], "additionalProperties": value, "propertyNames": key, "maxProperties": limits::MOST});
    let schema = json!({
        "type": "object", "required": ["namespace"], "additionalProperties": false,
        "properties": {
            "namespace": {"type": "string", "minLength": 1, "maxLength": 63},
            "serviceAccount": maybe_name,
            "workload": maybe_name,
            "labels": labels,
            "ttlSeconds": maybe("integer", 1, LONGEST.as_secs()),
            "uses": maybe("integer", 1, u64::from(MOST_USES)),
        },
    });
    let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    let says = "Make a token by which workloads join; its secret is in this answer and nowhere else";
    with(operation("createToken", says, &of("201", "The token", "Token")), "requestBody", body)
}

fn revoke() -> Value {
    let name = json!({"type": ["string", "null"], "minLength": 1, "maxLength": 253});
    let reasons: Vec<_> = Reason::ALL.into_iter().map(Reason::as_str).collect();
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "properties": {"serial": name, "namespace": name, "serviceAccount": name, "reason": {"enum": reasons}},
    });
    let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    let says = "Revoke a certificate by its number, or all that an account has at this moment";
    with(operation("revoke", says, &of("201", "What is revoked", "Revocation")), "requestBody", body)
}

fn changes() -> [Value; 3] {
    let message = query("message", "Why, for the history.", &json!({"type": "string", "maxLength": 250}));
    [dry_run(), message, author()]
}

fn dry_run() -> Value {
    query("dryRun", "Only say what would happen.", &json!({"type": "boolean"}))
}

fn author() -> Value {
    query("author", "Who, beside what the token says.", &json!({"type": "string", "maxLength": 250}))
}

fn query(name: &str, says: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "description": says, "schema": schema})
}

fn named(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1, "maxLength": 253}})
}

/// An operation; what it refuses is a problem.
fn operation(id: &str, summary: &str, answers: &Value) -> Value {
    let mut answers = answers.clone();
    merge(&mut answers, &json!({"default": {"description": "Why not", "content": {PROBLEM: {"schema": reference("Problem")}}}}));
    json!({"operationId": id, "summary": summary, "responses": answers})
}

/// One that needs no token.
fn open(id: &str, summary: &str) -> Value {
    with(operation(id, summary, &text()), "security", json!([]))
}

fn text() -> Value {
    json!({"200": {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}})
}

fn of(status: &str, says: &str, shape: &str) -> Value {
    answer(status, says, &reference(shape))
}

fn answer(status: &str, says: &str, schema: &Value) -> Value {
    json!({status: {"description": says, "content": {"application/json": {"schema": schema}}}})
}

fn reference(shape: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{shape}")})
}

fn with(mut operation: Value, field: &str, value: Value) -> Value {
    merge(&mut operation, &json!({field: value}));
    operation
}

fn merge(into: &mut Value, more: &Value) {
    if let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
}
