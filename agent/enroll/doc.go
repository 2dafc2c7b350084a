// Package enroll makes this machine a host of a fleet and keeps it one: it gets
// the certificate that says who it is, and the next one before that expires.
//
// Enrolling, the machine knows of the fleet what its join token says: the pin of
// the root. Nothing is sent before the other side has shown a root of that pin.
// From then on the certificate is all there is; what a file or an answer says of
// who this host is counts only as far as the root has signed it.
//
// Every key is on disk before anybody is asked to sign it, and asked for again
// with the same key until the answer is here. So a lost answer is a renewal
// repeated and not a second machine with a copy of the key: that one comes with
// a key of its own, and both are suspended. A host that was put back to an older
// state of its disk looks like such a copy, and needs fleetctl agent readmit.
//
//	<state_dir>/host-id, cluster           who this host is; root's, 0644
//	<state_dir>/labels                     those of its join token; root's, 0644
//	<state_dir>/proof.key                  key that signs what was run; root's, 0600
//	<state_dir>/identity/                  key, chain and root; 0700
//	<state_dir>/identity/enroll.pem        the key of an enrolment under way
//	<state_dir>/identity/pending.json      an enrolment that waits for a person
//	<state_dir>/identity/renewal.pem       the key of a renewal under way
//	<state_dir>/net/ring, ticket, seeds    what gossip needs; 0600
//	<state_dir>/net/collectors             where the collectors were last
package enroll
