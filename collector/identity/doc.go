// Package identity provides a collector's word on who somebody is: certificates
// for the machines of the fleet, tokens and sessions for its people.
//
// An Authority holds the collector's issuer, which signs agents, and where a
// person left it there the cluster's root key, which signs collectors. From a
// request it takes the public key and nothing else. Secrets are drawn here and
// told once; what is kept of them is a hash. Whether a token counts, and who is
// still welcome, stands in the ledger, not here.
package identity
