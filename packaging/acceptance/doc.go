// Package acceptance provides the tests of the house as a whole: its layers,
// and its real programs on real sockets.
package acceptance
