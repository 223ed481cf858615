
main
	127.0.0.1ê?©¶
-envoy.filters.network.http_connection_manager"Ù
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerähttp"ñ
localå
all*

/host
other.example

/pathq
/new?a=b

/path/new
	
/prefix*/after

/strip/new0

/port@˚A*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î