// Package link provides how the parts of an agent speak to each other: a few typed verbs over sockets of this host, each side sure who the other is.
//
// An agent has three parts. net talks to the collectors and can run nothing;
// work runs what it was given and cannot be reached from the network; read reads
// what is scheduled here and can do nothing else. What may be said between them
// is the table in verbs.go, and nothing more.
//
// A connection carries one call at a time, as simple as a telephone: hello from
// both sides, then question and answer, again and again. Whoever closes it ends
// what he had asked for. So there is no flow to control: what nobody reads waits
// in the kernel, and with it who writes.
//
//	frame   4 bytes of length, big-endian, 1 byte of kind, at most MaxFrame bytes
//	call    hello · (call text → text [bytes…] end)*
//
// Whoever calls is known by the kernel's word for who has connected, not by his
// own. What he sends is bounded before it is read, by the verb that he named.
package link
