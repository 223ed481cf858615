
main
	127.0.0.1ê?óî
-envoy.filters.network.http_connection_manager"‚
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager¯http"Ñ
local{
all*q

/WU
S
a"

x-fromweighted*

x-backweighted2x-upJx-goneZweighted.exampleJ

x-fromroute*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î