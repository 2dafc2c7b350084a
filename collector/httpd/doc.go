// Package httpd answers the HTTP API: what people and programs ask of a collector, and what agents tell it.
//
// routes.go is the whole map: each route with the permission it needs, what it
// reads and what it answers. A route parses its request into one value and
// hands it to a service, a method of Server that takes a context and that
// value and returns another; the services know nothing of HTTP, and the web
// page calls the same ones in the same process. echo stays within echo.go.
//
// A collector that does not lead passes changes on to the one that does, the
// bytes as they came. Reads are answered from its own ledger and say how old
// that is.
package httpd
