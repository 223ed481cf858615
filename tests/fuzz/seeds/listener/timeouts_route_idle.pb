
main
	127.0.0.1?ÌÉ
-envoy.filters.network.http_connection_manager"—
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager­http"2
local)
all*

/long
aÂ


/
a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterÂ€Â×/Ò€áë