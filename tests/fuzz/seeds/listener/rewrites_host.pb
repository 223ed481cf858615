
main
	127.0.0.1ê?π∂
-envoy.filters.network.http_connection_manager"Ñ
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManageröhttp"¶
localú
all*


/literal
a2new.example 
	
/append
a2new.example∞
	
/header
aÍx-host5

/regex)
aö#
^/regex/([^/]+)/.*$
\1.example*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î