
main
	127.0.0.1?×Ô
-envoy.filters.network.http_connection_manager"¢
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager¸http"E
local<
all*

/404	x-cluster 

/500	x-cluster *a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterÒ€áë