
local
all*

/:ftp@