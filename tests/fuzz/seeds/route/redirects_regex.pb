
local<
all*2

/users&J$
^/users/([^/]+)/(.*)$	/\2/of/\1