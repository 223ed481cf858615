
local%
all*

/	
a*/up/r	the-route