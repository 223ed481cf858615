
main
	127.0.0.1ê?°û
-envoy.filters.network.http_connection_manager"Ï
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerÇhttp"é
localU
all*6

/
aJ

x-levelrouteR

x-levelroute:

x-levelhost"

x-levelconfig2

x-levelconfigP*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î