
main
	127.0.0.1ê?”–
-envoy.filters.network.http_connection_manager"û
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager¥http"A
local8
all*.

/'
aJ"
retriable-status-codes:î≠*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î