package httpd

// CheckRoutes lets a test show a map with a hole.
var CheckRoutes = checkRoutes
