
main
	127.0.0.1ê?ª∏
-envoy.filters.network.http_connection_manager"Ü
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerúhttp")
local
oneone.example


/
ap*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î