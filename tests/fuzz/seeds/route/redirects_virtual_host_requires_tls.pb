
local
all*


/
a 