
main
	127.0.0.1ê?£†
-envoy.filters.network.http_connection_manager"Ó
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerÑhttp"
local
all*


/
a*d
rbac"\
>type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC

d
	R
/no*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router∫
	websocket“Ä·Î