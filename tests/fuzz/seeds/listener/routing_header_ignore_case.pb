
main
	127.0.0.1ê?øº
-envoy.filters.network.http_connection_manager"ä
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager†http"-
local$
all*

/2
x-aj
One0
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î