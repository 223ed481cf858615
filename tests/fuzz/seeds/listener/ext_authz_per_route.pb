
main
	127.0.0.1ê?àÖ
-envoy.filters.network.http_connection_manager"”
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerÈhttp"ä
localÄ
all*m

/off
aj^
authzU
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRouteá

/more
ajw
authzn
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute

ofroute


route2r
	
/nobody
aj`
authzW
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoutet
	
/longer
ajb
authzY
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
	
/direct:Ã


/
azu
authzl
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
	
host1


ofhost*i
authz"`
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
	

z*`*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î