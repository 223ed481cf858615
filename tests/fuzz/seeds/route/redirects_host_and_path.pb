
localŒ
all*

/host
other.example

/pathq
/new?a=b

/path/new
	
/prefix*/after

/strip/new0

/port@ûA