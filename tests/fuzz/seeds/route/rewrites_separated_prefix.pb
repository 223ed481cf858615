
local
all*
r/api
a*/v2