
main
	127.0.0.1?×Ô
-envoy.filters.network.http_connection_manager"¢
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager¸http"E
local<
all*2

/users&J$
^/users/([^/]+)/(.*)$	/\2/of/\1*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterÒ€áë