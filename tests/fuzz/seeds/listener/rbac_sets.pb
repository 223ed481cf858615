
main
	127.0.0.1ê?áÑ
-envoy.filters.network.http_connection_manager"“
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerËhttp"
local
all*


/
a*’
rbac"Ã
>type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACâ
ÜÉ
p~
R

/a
&
$

R

/b
R

/c

B"
x-no2
x-userj
alice5
3
%B#!
2
x-userj	
mallory
J

/c

2
x-user*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î