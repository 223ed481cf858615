
localZ
all*

/value:
q*
1
a

/present:
q0
a

/prefix:	
q*ab
a