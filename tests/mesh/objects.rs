/// A service of the namespace `shop` at port 80, whose port is named by what is spoken.
pub fn service(name: &str, protocol: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: {protocol}, port: 80, targetPort: {protocol}}}]
"
    )
}

/// A workload of a service, at a port of the loopback address.
pub fn workload(name: &str, app: &str, protocol: &str, port: u16) -> String {
    format!(
        "---
apiVersion: ninon.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}
spec:
  addresses: [127.0.0.1]
  locality: {{region: north, zone: a}}
  ports: [{{name: {protocol}, port: {port}}}]
"
    )
}

/// A workload that nobody calls, whose sidecar has a port of its own for what goes out.
pub fn client(name: &str, outbound: u16) -> String {
    format!(
        "---
apiVersion: ninon.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop}}
spec:
  addresses: [127.0.0.1]
  sidecar: {{outbound: '127.0.0.1:{outbound}'}}
"
    )
}
