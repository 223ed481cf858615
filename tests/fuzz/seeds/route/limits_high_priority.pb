
local&
all*

/high
aX


/
a