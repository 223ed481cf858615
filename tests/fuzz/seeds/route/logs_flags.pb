
local’
all*

/refused	
refused

/dropped	
dropped
/slow
slowB€Â×/
	/direct:È
/moved
o

/unknown	x-cluster