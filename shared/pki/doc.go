// Package pki provides who is who on the wire: certificates whose one URI says
// cluster, role and name, and TLS that believes nothing else.
//
// An ID is read from a certificate and from nowhere else; common names, host
// names and addresses count for nothing. The root signs collectors; a
// collector's own issuer signs agents and, by its purpose and by every
// verifier's rule, nothing else. Credentials are a key and its chain, and give
// each side its tls.Config for a Plane: TLS 1.3, our own root, no session
// tickets, and the role that the plane asks for. The planes share a listener
// and are told apart by ALPN.
package pki
