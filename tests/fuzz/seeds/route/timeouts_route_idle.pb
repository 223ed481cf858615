
local)
all*

/long
aÂ


/
a