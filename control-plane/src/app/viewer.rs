use std::sync::Arc;

use crate::app::world::World;
use crate::proxies::node::{About, Node};
use crate::push::{Directory, Guest, Joined, Later, Refusal};
use crate::registration::registrar::{Denial, Registered, Registrar};
use crate::source::manifest::DEFAULT_NAMESPACE;
use crate::translate::view::{Form, View};

/// Says what each proxy is to see.
pub(super) struct Viewer {
    world: Arc<World>,
    registrar: Arc<Registrar>,
}

impl Viewer {
    pub(super) fn new(world: Arc<World>, registrar: Arc<Registrar>) -> Self {
        Self { world, registrar }
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
        let about = About { namespace: view.namespace.to_string(), workload: view.workload.as_deref().unwrap_or_default().to_owned() };
        Ok(Joined { about, snapshots: self.world.see(view), alive: None })
    }

    fn admit<'a>(&'a self, node: &'a Node, token: &'a str) -> Later<'a, Result<Box<dyn Guest>, Refusal>> {
        Box::pin(async move {
            let registered: Box<dyn Guest> = Box::new(self.registrar.admit(node, token).await.map_err(refusal)?);
            Ok(registered)
        })
    }
}

/// On the port without TLS a node is who it says it is. Without `WORKLOAD_NAME` its id is taken for the workload's name.
pub(super) fn view(node: &Node) -> Result<View, Refusal> {
    let namespace = node.text("NAMESPACE").unwrap_or(DEFAULT_NAMESPACE);
    if namespace.is_empty() {
        return Err(Refusal::Invalid("the node's metadata has an empty NAMESPACE".to_owned()));
    }
    if node.is_grpc() {
        return Ok(View { form: Form::Grpc, namespace: namespace.into(), workload: None });
    }
    let workload = node.text("WORKLOAD_NAME").unwrap_or(&node.id);
    let workload = (!workload.is_empty()).then(|| workload.into());
    Ok(View { form: Form::Sidecar, namespace: namespace.into(), workload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(metadata: &Value, id: &str, agent: &str) -> Result<View, Refusal> {
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        view(&Node { id: id.to_owned(), metadata, user_agent_name: agent.to_owned(), ..Node::default() })
    }

    #[test]
    fn a_sidecar_says_which_workload_it_is_beside() {
        let told = json!({"NAMESPACE": "shop", "WORKLOAD_NAME": "cart-1"});
        assert_eq!(of(&told, "x", "envoy"), Ok(View { form: Form::Sidecar, namespace: "shop".into(), workload: Some("cart-1".into()) }));
        let by_id = Ok(View { form: Form::Sidecar, namespace: "default".into(), workload: Some("cart-1".into()) });
        assert_eq!(of(&json!({}), "cart-1", "ninon"), by_id);
        assert!(of(&json!({"NAMESPACE": ""}), "x", "envoy").is_err());
    }

    #[test]
    fn a_grpc_client_is_beside_no_workload() {
        let told = json!({"NAMESPACE": "shop", "WORKLOAD_NAME": "cart-1"});
        assert_eq!(of(&told, "x", "gRPC C-core linux"), Ok(View { form: Form::Grpc, namespace: "shop".into(), workload: None }));
    }
}
