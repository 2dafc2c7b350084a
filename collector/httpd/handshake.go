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
