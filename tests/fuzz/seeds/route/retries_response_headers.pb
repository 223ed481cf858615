
local?
all*5

/.
aJ)
retriable-headersJ
x-againj
yes