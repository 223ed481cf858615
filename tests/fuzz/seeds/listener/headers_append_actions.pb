
main
	127.0.0.1ê?ÖÇ
-envoy.filters.network.http_connection_manager"–
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerÊhttp"s
localj
all*`

/
aJ

x-appendnewJ

x-if-absentnewJ

x-overwritenewJ

x-onlynew*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î