
main
	127.0.0.1ê?ºπ
-envoy.filters.network.http_connection_manager"á
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerùhttp"'
local
oneone.example


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î¯