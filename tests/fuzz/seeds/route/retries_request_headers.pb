
local1
all*'

/ 
aJ
5xxR
:methodj
GET