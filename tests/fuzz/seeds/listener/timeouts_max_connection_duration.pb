
main
	127.0.0.1ê?¿Ω
-envoy.filters.network.http_connection_manager"ã
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager°http"
local
all*


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterbÄ¬◊/“Ä·ÎöÄ£√G