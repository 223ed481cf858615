
local<
all*

/404	x-cluster 

/500	x-cluster 