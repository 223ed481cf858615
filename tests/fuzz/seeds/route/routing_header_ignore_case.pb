
local$
all*

/2
x-aj
One0
a