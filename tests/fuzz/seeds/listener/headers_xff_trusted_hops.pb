
main
	127.0.0.1?ξλ
-envoy.filters.network.http_connection_manager"Ή
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerΟhttp"U
localL
all*B

/
aJ6
4
x-client(%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.RouterrÒ€αλ