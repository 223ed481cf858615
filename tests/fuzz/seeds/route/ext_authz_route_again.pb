
local-
all*

/2
x-toj
b
b


/
a