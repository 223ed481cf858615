
main
	127.0.0.1?³°
-envoy.filters.network.http_connection_manager"ώ
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager”http"
local
all*


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterB(Ò€αλ