
main
	127.0.0.1ê?ë
2
	127.0.0.0|
envoy.filters.network.tcp_proxy"Y
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpwideì
2
	127.0.0.1 ~
envoy.filters.network.tcp_proxy"[
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpnarrow