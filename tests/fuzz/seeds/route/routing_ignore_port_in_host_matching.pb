
local
oneone.example


/
ap