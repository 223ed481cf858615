
main
	127.0.0.1ê?π∂
-envoy.filters.network.http_connection_manager"Ñ
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManageröhttp"
local
all*


/
a*ò
one"ê
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzE
"

z	z.example*
x-tokent`ä

x-a
x-b 
	
x-b-not*m
two"f
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
	

zP`ê 
x-*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î