
main
	127.0.0.1ê?Ã…
-envoy.filters.network.http_connection_manager"ó
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager≠http":
local1
all*'

/ 
aJ
5xxR
:methodj
GET*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î