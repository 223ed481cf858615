
main
	127.0.0.1ê?æª
-envoy.filters.network.http_connection_manager"â
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerühttp"´
local°
all*
	/down/m
down
/400/m:ê	bad one
/401/m:ë
/403/m:ì
/429/m:≠
/500/m:Ù
/200/m:»
	/away/m/x*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î