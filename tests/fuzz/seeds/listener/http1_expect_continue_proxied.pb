
main
	127.0.0.1ê?≤Ø
-envoy.filters.network.http_connection_manager"˝
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerìhttp"
local
all*


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Routerê“Ä·Î