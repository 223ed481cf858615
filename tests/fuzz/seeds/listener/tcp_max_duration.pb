
main
	127.0.0.1ê?ÉÄ
envoy.filters.network.tcp_proxy"]
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpajÄÑØ_