
main
	127.0.0.1?ÉÆ
-envoy.filters.network.http_connection_manager"”
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerªhttp"7
local.
all*$

/
aJ
5xx€Â×/B
À„=*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterÒ€áë