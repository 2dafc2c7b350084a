// Package seal provides statements that only their author can have made: what
// a person gives a fleet, signed so that who stores and forwards it can neither
// make, change, widen, replay nor re-enable it.
//
// A Statement is read as strict JSON from the very bytes that were signed, and
// from nowhere else: who obeys it first asks Envelope.Signers which of the keys
// that it trusts signed, by the keys' own bytes, and only then reads Statement.
// The envelope is DSSE (github.com/secure-systems-lab/dsse), the signature
// Ed25519 (RFC 8032) over its pre-authentication encoding, which holds the
// payload type, so that a signature made for anything else says nothing here.
// DESIGN.md has the whys.
package seal
