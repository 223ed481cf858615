
local@
all*!

/
aZx-back-routebx-routeZx-back-hostjX-Host*x-back-configBx-config