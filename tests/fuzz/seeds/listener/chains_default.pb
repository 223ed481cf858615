
main
	127.0.0.1ê?Ñ
Jtls{
envoy.filters.network.tcp_proxy"X
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy

tcptlsJ}
$envoy.filters.listener.tls_inspectorU
Stype.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector ~|
envoy.filters.network.tcp_proxy"Y
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcprest