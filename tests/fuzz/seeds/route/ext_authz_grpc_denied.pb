
local&
all*


/
aR

	x-of-host1