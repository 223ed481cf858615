use std::sync::Arc;

use crate::app::world::World;
use crate::model::identity::Identity;
use crate::model::name::Name;
use crate::proxies::node::{About, Node};
use crate::push::{Directory, Guest, Joined, Later, Refusal};
use crate::registration::registrar::{Denial, Proof, Registered, Registrar};
use crate::source::manifest::DEFAULT_NAMESPACE;
use crate::token::PREFIX;
use crate::translate::view::{Form, View};

/// What a proxy says of itself that chooses the version of HTTP by what it agrees on with each endpoint, whether others of its cluster
/// speak TLS or not.
const NEGOTIATES: &str = "ninon.http.version-by-endpoint";

/// Says what each proxy is to see.
pub(super) struct Viewer {
    world: Arc<World>,
    registrar: Arc<Registrar>,
}

impl Viewer {
    pub(super) fn new(world: Arc<World>, registrar: Arc<Registrar>) -> Self {
        Self { world, registrar }
    }

    /// Whether a node may be the workload that it says it is: not if that has another account than its certificate.
    fn may_be(&self, node: &Node, view: &View) -> Result<(), Refusal> {
        let (Some(verified), Some(workload)) = (&node.identity, &view.workload) else { return Ok(()) };
        let (name, own) = (Name::new(Arc::clone(&view.namespace), Arc::clone(workload)), &verified.identity);
        match self.world.account(&name).filter(|account| *account != own.account) {
            Some(account) => {
                Err(Refusal::Denied(format!("the workload {name} has service account {account:?}, and the certificate is of {own}")))
            }
            None => Ok(()),
        }
    }
}

impl Guest for Registered {
    fn serves(&self) {
        self.serves();
    }

    fn goodbye(&self) -> Later<'_, ()> {
        Box::pin(self.goodbye())
    }

    fn expelled(&self) -> Later<'_, Refusal> {
        Box::pin(async { refusal(self.expelled().await) })
    }
}

fn refusal(denial: Denial) -> Refusal {
    match denial {
        Denial::Invalid(reason) => Refusal::Invalid(reason),
        Denial::Unauthenticated(reason) => Refusal::Unauthenticated(reason),
        Denial::Denied(reason) => Refusal::Denied(reason),
        Denial::Unavailable(reason) => Refusal::Unavailable(reason),
    }
}

impl Directory for Viewer {
    fn join(&self, node: &Node) -> Result<Joined, Refusal> {
        let view = view(node)?;
        self.may_be(node, &view)?;
        let about = About { namespace: view.namespace.to_string(), workload: view.workload.as_deref().unwrap_or_default().to_owned() };
        Ok(Joined { about, snapshots: self.world.see(view), alive: None })
    }

    fn admit<'a>(&'a self, node: &'a Node, token: Option<&'a str>) -> Later<'a, Result<Option<Box<dyn Guest>>, Refusal>> {
        Box::pin(async move {
            // What contradicts the certificate, or is another account's, is told before anything is registered or counted.
            self.may_be(node, &view(node)?)?;
            // With a certificate, what somebody else has given says nothing: one good proof is enough.
            let token = token.filter(|shown| node.identity.is_none() || shown.starts_with(PREFIX));
            let proof = match (&node.identity, token) {
                (None, Some(token)) => Proof::Token(token),
                (Some(verified), token) if token.is_some() || registers(node) => Proof::Certificate(verified, token),
                _ => return Ok(None),
            };
            let registered: Box<dyn Guest> = Box::new(self.registrar.admit(node, proof).await.map_err(refusal)?);
            Ok(Some(registered))
        })
    }
}

/// Whether a sidecar with a certificate is to be registered: it says where its workload listens.
fn registers(node: &Node) -> bool {
    !node.is_grpc() && node.metadata.contains_key("PORTS")
}

/// On the port without TLS a node is who it says it is; with a certificate it is who that says, and may not say otherwise. Without
/// `WORKLOAD_NAME` its id is taken for the workload's name.
pub(super) fn view(node: &Node) -> Result<View, Refusal> {
    let namespace = node.text("NAMESPACE").unwrap_or(DEFAULT_NAMESPACE);
    if namespace.is_empty() {
        return Err(Refusal::Invalid("the node's metadata has an empty NAMESPACE".to_owned()));
    }
    let namespace: Arc<str> = match &node.identity {
        Some(verified) => {
            let own = &verified.identity;
            contradicts(node, "NAMESPACE", &own.namespace, own)?;
            contradicts(node, "SERVICE_ACCOUNT", &own.account, own)?;
            Arc::clone(&own.namespace)
        }
        None => namespace.into(),
    };
    if node.is_grpc() {
        return Ok(View { form: Form::Grpc, namespace, workload: None, account: None, transparent: false });
    }
    let workload = node.text("WORKLOAD_NAME").unwrap_or(&node.id);
    let only = node.identity.as_ref().and_then(|verified| verified.workload.as_deref());
    if let Some(only) = only.filter(|only| *only != workload) {
        return Err(Refusal::Denied(format!("the certificate is for workload {only:?}, and the node says it is beside {workload:?}")));
    }
    let workload = (!workload.is_empty()).then(|| workload.into());
    let form = match node.identity {
        None => Form::Sidecar,
        Some(_) if node.client_features.iter().any(|feature| feature == NEGOTIATES) => Form::Negotiating,
        Some(_) => Form::Identified,
    };
    let account = node.identity.as_ref().map(|verified| Arc::clone(&verified.identity.account));
    // As Istio names it.
    let transparent = node.text("INTERCEPTION_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("TPROXY"));
    Ok(View { form, namespace, workload, account, transparent })
}

/// Refuses what a node says of itself and its certificate does not.
fn contradicts(node: &Node, key: &str, own: &str, identity: &Identity) -> Result<(), Refusal> {
    match node.metadata.get(key) {
        Some(said) if said.as_str() != Some(own) => {
            Err(Refusal::Denied(format!("the node says {key} {said}, and its certificate is of {identity}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::model::identity::Verified;
    use crate::model::limits::Limits;
    use serde_json::{Value, json};

    fn of(metadata: &Value, id: &str, agent: &str) -> Result<View, Refusal> {
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        view(&Node { id: id.to_owned(), metadata, user_agent_name: agent.to_owned(), ..Node::default() })
    }

    #[test]
    fn a_sidecar_says_which_workload_it_is_beside() {
        let told = json!({"NAMESPACE": "shop", "WORKLOAD_NAME": "cart-1"});
        assert_eq!(
            of(&told, "x", "envoy"),
            Ok(View { form: Form::Sidecar, namespace: "shop".into(), workload: Some("cart-1".into()), account: None, transparent: false })
        );
        let by_id =
            View { form: Form::Sidecar, namespace: "default".into(), workload: Some("cart-1".into()), account: None, transparent: false };
        let transparent = json!({"INTERCEPTION_MODE": "TPROXY"});
        assert_eq!(of(&transparent, "cart-1", "ninon"), Ok(View { transparent: true, ..by_id.clone() }));
        assert_eq!(of(&json!({"INTERCEPTION_MODE": "REDIRECT"}), "cart-1", "ninon"), Ok(by_id.clone()));
        assert_eq!(of(&json!({}), "cart-1", "ninon"), Ok(by_id));
        assert!(of(&json!({"NAMESPACE": ""}), "x", "envoy").is_err());
    }

    #[test]
    fn a_certificate_says_where_a_node_is_and_nothing_may_say_otherwise() {
        let of = |metadata: &Value, only: Option<&str>| {
            let identity = Identity::new("cluster.local", "shop", "cart").unwrap();
            let verified = Verified {
                identity,
                workload: only.map(Into::into),
                limits: Limits::default(),
                serial: String::new(),
                not_before: SystemTime::UNIX_EPOCH,
                not_after: SystemTime::now(),
            };
            let metadata = metadata.as_object().cloned().unwrap_or_default();
            view(&Node { id: "cart-1".to_owned(), metadata, identity: Some(Arc::new(verified)), ..Node::default() })
        };
        let shop = Ok(View {
            form: Form::Identified,
            namespace: "shop".into(),
            workload: Some("cart-1".into()),
            account: Some("cart".into()),
            transparent: false,
        });
        for agrees in [json!({}), json!({"NAMESPACE": "shop"}), json!({"NAMESPACE": "shop", "SERVICE_ACCOUNT": "cart"})] {
            assert_eq!(of(&agrees, None), shop);
            assert_eq!(of(&agrees, Some("cart-1")), shop);
        }
        for contradicts in [json!({"NAMESPACE": "bank"}), json!({"NAMESPACE": 7}), json!({"SERVICE_ACCOUNT": "admin"})] {
            assert!(matches!(of(&contradicts, None), Err(Refusal::Denied(_))), "{contradicts}");
        }
        assert!(matches!(of(&json!({}), Some("cart-2")), Err(Refusal::Denied(_))));
    }

    #[test]
    fn a_grpc_client_is_beside_no_workload() {
        let told = json!({"NAMESPACE": "shop", "WORKLOAD_NAME": "cart-1"});
        assert_eq!(
            of(&told, "x", "gRPC C-core linux"),
            Ok(View { form: Form::Grpc, namespace: "shop".into(), workload: None, account: None, transparent: false })
        );
    }
}
