
localh
all*^

/
aJ)
'
x-client%DOWNSTREAM_REMOTE_ADDRESS%J'
%
x-local%DOWNSTREAM_LOCAL_ADDRESS%