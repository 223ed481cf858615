
local&
all*

/
aJ
5xx€£ÃG