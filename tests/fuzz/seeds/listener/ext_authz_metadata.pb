
main
	127.0.0.1ê?¥±
-envoy.filters.network.http_connection_manager"ˇ
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerïhttp"
local
all*


/
a*a
first"X
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
	

z`*á
second"}
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz2
	

zBenvoy.filters.http.ext_authzBother`*ï
rbac"å
>type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACJ
HF
pA
;:9
envoy.filters.http.ext_authz
role
name	
admin*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î