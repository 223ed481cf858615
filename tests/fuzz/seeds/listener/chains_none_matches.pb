
main
	127.0.0.1ê?ç

10.0.0.0y
envoy.filters.network.tcp_proxy"V
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpa