// Package discover finds every scheduled job of a host and says of each whether the host's own scheduler will run it, and when.
//
// [Scan] reads a directory tree as if it were "/": its own os-release says
// whose cron reads it, its own passwd says who its users are, its own
// /etc/localtime says what its hours mean. It only reads. Nothing found is
// executed, no link leads out of the tree, and no FIFO, device, huge file or
// slow mount holds it up: what cannot be read becomes a problem with its reason.
//
// What there is to look at is the table sources, a file each. Adding a kind of
// schedule is adding a row and a file.
package discover
