
main
	127.0.0.1ê?∑¥
-envoy.filters.network.http_connection_manager"Ç
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManageròhttp"
local
all*


/
a*Ö
	ext_authz"x
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz-)

http://zzB	

x-whyR/decide`*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î