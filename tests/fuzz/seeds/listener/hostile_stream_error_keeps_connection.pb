
main
	127.0.0.1ê?µ≤
-envoy.filters.network.http_connection_manager"Ä
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerñhttp"
local
all*


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterB:“Ä·Î