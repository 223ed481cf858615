
localÞ
all*i

/off
ajZ
jwtS
Mtype.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfigl

/named
aj[
jwtT
Mtype.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfigro

/wrong
aj^
jwtW
Mtype.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfiggone


/
a