
main
	127.0.0.1ê?ÙÒ
-envoy.filters.network.http_connection_manager"ø
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager’http"b
local@
all*!

/
aZx-back-routebx-routeZx-back-hostjX-Host*x-back-configBx-config*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î