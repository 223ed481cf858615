
locall
all*V

/open
ajF
allows<
6type.googleapis.com/envoy.config.route.v3.FilterConfig


/
a