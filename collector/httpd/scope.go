package httpd

import "github.com/fleetcron/fleetcron/shared/fleet"

// everywhere is the scope of what the collector does itself; what it does for a
// caller is within that caller's.
var everywhere = fleet.ScopeOf(fleet.Everywhere)
