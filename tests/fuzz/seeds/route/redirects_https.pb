
local
all*	

/ 