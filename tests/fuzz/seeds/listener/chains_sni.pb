
main
	127.0.0.1ê?ã
Z	*.example|
envoy.filters.network.tcp_proxy"Y
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpwildå
Z	a.example}
envoy.filters.network.tcp_proxy"Z
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpexactê
Z*.deep.example|
envoy.filters.network.tcp_proxy"Y
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpdeepJ}
$envoy.filters.listener.tls_inspectorU
Stype.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector