package httpd

import (
	"net/netip"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// NoteHandshake keeps in the audit chain that somebody was not let in by TLS,
// before any request. Who it says it is stands in the entry only where that was
// proven, and the node alone was not welcome.
func (s *Server) NoteHandshake(refusal *pki.PeerError, from netip.Addr) {
	by := fleet.Principal{Address: from}
	if strings.HasPrefix(refusal.Code, "node_") {
		by.Kind, by.Name = fleet.PrincipalKind(refusal.Peer.Role), refusal.Peer.Name
	}
	s.remarks.note(fleet.AuditEntry{At: time.Now().UTC(), By: by, Action: "connect", Decision: "refused", Code: refusal.Code, Why: refusal.Reason})
}

// NoteCopied keeps in the audit chain that one certificate was used from two
// addresses at once, which a host with two addresses may do, and so does a
// thief. Nobody is refused for it.
func (s *Server) NoteCopied(id pki.ID, here, there netip.Addr) {
	s.Logger.Warn("one certificate is used from two addresses at once", "peer", id.String(), "address", here.String(), "other", there.String())
	s.remarks.note(fleet.AuditEntry{
		At: time.Now().UTC(), By: fleet.Principal{Kind: fleet.PrincipalKind(id.Role), Name: id.Name, Address: here}, Action: "connect", Object: id.String(),
		Decision: "done", Code: "certificate_twice", Why: "the certificate is used from " + there.String() + " at the same time: two addresses of one machine, or a copied key",
	})
}
