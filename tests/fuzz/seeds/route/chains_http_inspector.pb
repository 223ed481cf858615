
local
all*


/
a