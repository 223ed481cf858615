
main
	127.0.0.1?ÅÂ
-envoy.filters.network.http_connection_manager"
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager¦http"3
local*
all* 

/2
x-n2ûÿÿÿÿÿÿÿÿ

a*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterÒ€áë