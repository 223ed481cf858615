
main
	127.0.0.1ê?ﬂ‹
-envoy.filters.network.http_connection_manager"™
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager¿http"f
local]
all*
	/direct:»direct
	/redirect	/direct
/a
aR

	x-of-host1*e
rbac"]
>type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC

d

"
x-deny*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î