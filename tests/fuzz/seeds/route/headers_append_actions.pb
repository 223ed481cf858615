
localj
all*`

/
aJ

x-appendnewJ

x-if-absentnewJ

x-overwritenewJ

x-onlynew