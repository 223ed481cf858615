
main
	127.0.0.1?Ú×
-envoy.filters.network.http_connection_manager"¥
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager»http"H
local?
all*5

/.
aJ)
retriable-headersJ
x-againj
yes*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterÒ€áë