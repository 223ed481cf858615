
main
	127.0.0.1?öó
-envoy.filters.network.http_connection_manager"Á
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager×http"d
local[
all*
/301
o
/302
o
/303
o
/307
o
/308
o*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterÒ€áë