
localœ
all*


/literal
a2new.example 
	
/append
a2new.example°
	
/header
aêx-host5

/regex)
aš#
^/regex/([^/]+)/.*$
\1.example