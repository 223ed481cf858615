
main
	127.0.0.1ê?êç
-envoy.filters.network.http_connection_manager"€
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerÒhttp"6
local-
all*

/2
x-toj
b
b


/
a*a
stays"X
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
	

z`*c
again"Z
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
	

z0`*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î