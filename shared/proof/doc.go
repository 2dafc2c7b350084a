// Package proof provides what a host signs of its runs, so that whoever holds it can tell later, with nothing else at hand, that nobody has edited it, dropped some of it or put something in.
//
// A Line is what the host says became of one run. Its lines are numbered from 1
// within a chain, and each head of the chain is made of the head before and the
// hash of the line:
//
//	head 0 = SHA-256(cluster, host, chain)
//	head n = SHA-256(head n-1 ‖ SHA-256(line n))
//
// So a line that somebody must not read can be shown as its hash, and the chain
// still holds. A Block is some lines in a row with the head before and after
// them, signed by a key that only the part of the host's agent has that runs
// commands. A host that loses its state begins another chain.
//
// What no chain can tell is that its end was cut off, or its beginning: for that,
// compare its head with one that the host itself shows, and the number of its
// first line with 1.
package proof
