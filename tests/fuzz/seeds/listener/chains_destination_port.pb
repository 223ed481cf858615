
main
	127.0.0.1ê?Ö
B}
envoy.filters.network.tcp_proxy"Z
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpother{y
envoy.filters.network.tcp_proxy"V
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
tcpa