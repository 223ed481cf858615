
main
	127.0.0.1ê?ª

Rhttp/1.1¨
-envoy.filters.network.http_connection_manager"˙
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerêhttp"
local
all*


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Îª
Rh2c±
-envoy.filters.network.http_connection_manager"ˇ
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerïhttp"
local
all*


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterRtwo“Ä·Î}{
envoy.filters.network.tcp_proxy"X
Jtype.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy

tcprawJÄ
%envoy.filters.listener.http_inspectorW
Utype.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector