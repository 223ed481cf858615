
local.
all*$

/
aR

x-date%RESP(date)%