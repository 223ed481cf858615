
main
	127.0.0.1ê?É
Rh2{
envoy.filters.network.tcp_proxy"X
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy

tcptwoâ

Rhttp/1.1{
envoy.filters.network.tcp_proxy"X
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy

tcponeJ}
$envoy.filters.listener.tls_inspectorU
Stype.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector