
local{
all*q

/WU
S
a"

x-fromweighted*

x-backweighted2x-upJx-goneZweighted.exampleJ

x-fromroute