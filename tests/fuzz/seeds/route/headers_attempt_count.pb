
local$
all*

/
aJ	
5xxp˜