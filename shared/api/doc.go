// Package api provides the HTTP contract of fleetcron: its paths, its request
// and reply types, and the one Client that speaks it.
//
// Replies are JSON with RFC 3339 times. A list is a List; an error is a
// Problem (RFC 9457). Every read says how fresh it is (HeaderIndex,
// HeaderLastContact); every change of an object takes the ETag it was read
// with in If-Match.
package api
