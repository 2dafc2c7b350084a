// Package web provides the read-only pages of fleetcron: which host runs what, since when and whether it really runs, what runs next, and what became of it.
//
// Handler is the whole package: it asks a Source (a collector's own service,
// or a client that speaks to one) and renders html/template on the server.
// Nothing on a page needs JavaScript; every list is filtered and paged by the
// Source, and its state is the URL. The table pages is the map. Nobody sees one
// without a session, and a session sees what its token may.
//
// What a page shows was written by strangers: crontab lines, host names, output
// of commands. html/template escapes it, and render makes every control and
// direction character of the finished page visible, so that no page has to
// remember to.
package web
