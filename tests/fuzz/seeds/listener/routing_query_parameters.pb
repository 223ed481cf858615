
main
	127.0.0.1ê?ıÚ
-envoy.filters.network.http_connection_manager"¿
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager÷http"c
localZ
all*

/value:
q*
1
a

/present:
q0
a

/prefix:	
q*ab
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î