// Package findings says what a person should look at in a fleet: what does not run, what nobody would miss, what others could abuse, and the command to try next.
//
// Looking has two steps. A survey reads the jobs of one host and keeps what is
// wrong with them by themselves, and of each job a small row. Then all surveys
// are compared: what is overdue by now, what is the same on many hosts, what
// nearly all of a kind have and one lacks. A host that changed is surveyed
// anew; comparing needs the rows only. [Evaluate] does both for a whole fleet;
// an [Engine] keeps the result fresh in the background.
//
// What the reader of a thousand hosts must do today comes one by one. What is
// merely worth knowing is gathered: one finding for a command, however many
// hosts have it, or one for a host. What a distribution ships, and what
// somebody switched off on purpose, is no finding.
package findings
