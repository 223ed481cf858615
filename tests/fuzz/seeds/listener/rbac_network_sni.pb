
main
	127.0.0.1ê?Òt
rbac"l
Atype.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC'

p
J.good.exampleguardy
envoy.filters.network.tcp_proxy"V
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpaJ}
$envoy.filters.listener.tls_inspectorU
Stype.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector