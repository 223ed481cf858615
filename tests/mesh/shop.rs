use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::named::{self, Named};
use ninon_tests::ports;

use crate::world::{LIMIT, Program, Sidecar, World};

/// A workload with its sidecar, whose clients come in plain text.
pub struct Shop {
    pub world: World,
    port: u16,
    _sidecar: Sidecar,
    _application: Named,
}

impl Shop {
    pub async fn start(program: Program, objects: &str) -> Self {
        let (mut world, application, port) = (World::new("embedded"), Named::start("web").await, ports::free());
        world.write(
            "web.yaml",
            &format!(
                "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: web, namespace: shop, labels: {{app: web}}}}\nspec:\n  \
             addresses: [127.0.0.1]\n  ports: [{{name: http, port: {port}, applicationPort: {}}}]\n  \
             sidecar: {{outbound: '127.0.0.1:{}'}}\n",
                application.port,
                ports::free()
            ),
        );
        world.write("objects.yaml", objects);
        world.serve().await;
        let sidecar = Sidecar::start(&world, program, Dialect::Delta, "web").await;
        world.are_synced(1).await;
        Self { world, port, _sidecar: sidecar, _application: application }
    }

    pub async fn status(&self, path: &str, token: &str) -> u16 {
        self.asks(path, token, "").await
    }

    pub async fn asks(&self, path: &str, token: &str, more: &str) -> u16 {
        let token = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let answer = named::get(self.port, path, &format!("host: web.shop\r\n{token}{more}"), LIMIT).await;
        answer.map(|(status, _)| status).unwrap_or_default()
    }

    /// Until it has this status.
    pub async fn becomes(&self, path: &str, token: &str, wanted: u16) {
        let look = || async { (self.status(path, token).await == wanted).then_some(()) };
        if eventually(LIMIT, look).await.is_none() {
            let status = self.status(path, token).await;
            panic!("{path} with {token:?} is to get {wanted}, and gets {status}\n{}", self.world.log());
        }
    }
}

/// A policy of its namespace.
pub fn policy(name: &str, spec: &str) -> String {
    format!("---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n")
}
