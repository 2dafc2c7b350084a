// Package mask takes secrets out of what was found before any of it leaves the host, and nothing else.
//
// A secret is known by its place, never by what it does: the value of
// --password, of PGPASSWORD=, of mysql's -p, the userinfo of a URL, what
// follows Authorization:, and by its shape where that is beyond doubt, as with
// ghp_… or a private key. In its stead stands <redacted:1a2b3c4d>, the
// beginning of a keyed hash: whoever reads the inventory sees that a password
// was changed, or that two lines of one host share it, but cannot try out
// guesses, since the key never leaves the host.
//
// What only names a secret stays readable: $PASSWORD, $(cat /run/secret),
// PASSWORD_FILE=/etc/app/password, mkdir -p. It is best effort all the same: a
// password given to a program that nobody has heard of, by an option that says
// nothing, looks like any other word.
//
// The tables are names (what a name must say), programs (whose short options
// take secrets), tokens (what secrets look like).
package mask
