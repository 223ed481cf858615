
local8
all*.

/'
aJ"
retriable-status-codes:”­