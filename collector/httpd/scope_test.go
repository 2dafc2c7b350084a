package httpd_test

import "github.com/fleetcron/fleetcron/shared/fleet"

var everywhere = fleet.ScopeOf(fleet.Everywhere)
