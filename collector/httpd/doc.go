// Package httpd answers the HTTP API: what people and programs ask of a collector, and what agents tell it.
//
// routes.go is the whole map: each route with the permission it needs, what it
// reads and what it answers. A route parses its request into one value and
// hands it to a service, a method of Server that takes a context and that
// value and returns another; the services know nothing of HTTP, and the web
// page calls the same ones in the same process. echo stays within echo.go.
//
// Each plane has its own router with its own routes: people with tokens, agents
// and collectors with certificates, machines that have none yet. Who calls is
// found out before anything else is looked at, and comes with the context from
// then on; a service answers within what that caller may see, and what is not
// within is as if it did not exist. What people change is signed, and comes in
// at one route; each change stands in the audit chain with who made it, in the
// same entry of the raft log.
//
// A collector that does not lead passes changes on to the one that does, the
// bytes as they came and with the name of who asked. Reads are answered from its own ledger and say how old
// that is.
package httpd
