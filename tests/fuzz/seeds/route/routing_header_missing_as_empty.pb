
local&
all*

/2
x-a@j
onep
a