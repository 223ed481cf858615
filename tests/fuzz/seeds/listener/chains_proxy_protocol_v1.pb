
main
	127.0.0.1ê?áÑ
-envoy.filters.network.http_connection_manager"“
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerËhttp"q
localh
all*^

/
aJ)
'
x-client%DOWNSTREAM_REMOTE_ADDRESS%J'
%
x-local%DOWNSTREAM_LOCAL_ADDRESS%*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Routerr“Ä·ÎJÄ
%envoy.filters.listener.proxy_protocolW
Utype.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol