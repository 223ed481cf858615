
local
all*

/:	÷no