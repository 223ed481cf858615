
localU
all*6

/
aJ

x-levelrouteR

x-levelroute:

x-levelhost"

x-levelconfig2

x-levelconfigP