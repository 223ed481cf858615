
localw
all*m

/
aJ

x-drop%REQ(x-none)%J

x-keep%REQ(x-none)% J
	
x-emptyJ

x-mixed[%REQ(x-none)%]