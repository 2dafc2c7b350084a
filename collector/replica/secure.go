package replica

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// certificate is whose one is, and which.
type certificate struct {
	peer   pki.ID
	serial string
}

// welcome shakes hands with a caller.
func (s *stream) welcome(conn *tracked) (hello, error) {
	conn.SetDeadline(time.Now().Add(handshakeLimit))
	peer, err := s.secure(conn, s.credentials.ServerTLS(s.judge, pki.PlaneRaft), tls.Server)
	if err != nil {
		return hello{}, err
	}
	theirs, err := answer(conn, s.local, peer.Name)
	conn.SetDeadline(time.Time{})
	return theirs, err
}

// secure puts TLS over a connection and returns whose certificate the other
// side has shown.
func (s *stream) secure(conn *tracked, conf *tls.Config, side func(net.Conn, *tls.Config) *tls.Conn) (peer pki.ID, err error) {
	over := side(conn.Conn, conf)
	if err := over.HandshakeContext(s.ctx); err != nil {
		if why := pki.Explain(err); why != nil {
			return peer, why
		}
		return peer, err
	}
	peer, serial, err := pki.PeerOf(over.ConnectionState())
	if err != nil {
		return peer, err
	}
	s.mu.Lock()
	conn.Conn, conn.shown = over, certificate{peer, serial}
	s.mu.Unlock()
	if s.judge != nil { // now that rejudge knows of the connection: nobody slips in between
		err = s.judge(peer, serial)
	}
	return peer, err
}

// reserve admits a handshake with an address, as long as it has few under way.
// Strangers, who can have many addresses, take no room of members.
func (s *stream) reserve(from netip.Addr, member bool) bool {
	from = networkOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.greeting[from] >= handshakesEach || !member && s.strangers >= handshakesMax {
		return false
	}
	if s.greeting[from]++; !member {
		s.strangers++
	}
	return true
}

func (s *stream) free(from netip.Addr, member bool) {
	from = networkOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.greeting[from]--; s.greeting[from] == 0 {
		delete(s.greeting, from)
	}
	if !member {
		s.strangers--
	}
}

// networkOf returns the first address of the network that counts as one
// address: of IPv6 everyone has 64 bits.
func networkOf(address netip.Addr) netip.Addr {
	if !address.Is6() {
		return address
	}
	network, _ := address.Prefix(64) // of an address of IPv6 there always is one
	return network.Addr()
}

func addrOf(conn net.Conn) netip.Addr {
	at, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return at.Addr().Unmap()
}

// introduce shakes hands with the one called.
func (s *stream) introduce(conn *tracked, mine hello, limit time.Duration) (report, error) {
	conn.SetDeadline(time.Now().Add(limit))
	peer, err := s.secure(conn, s.credentials.ClientTLS(pki.PlaneRaft, pki.RoleCollector), tls.Client)
	if err != nil {
		return report{}, err
	}
	answered, err := call(conn, mine, peer.Name)
	conn.SetDeadline(time.Time{})
	if said := pki.Explain(err); said != nil { // the other side's word about our certificate comes with the first read
		err = said
	}
	return answered, err
}

// rejudge closes the connections with peers that are welcome no more.
func (s *stream) rejudge() {
	if s.judge == nil {
		return
	}
	s.mu.Lock()
	open := make(map[*tracked]certificate)
	for conn := range s.open {
		if conn.shown.serial != "" {
			open[conn] = conn.shown
		}
	}
	s.mu.Unlock()
	for conn, shown := range open { // not under the lock: it may ask a ledger
		if err := s.judge(shown.peer, shown.serial); err != nil {
			s.note("", shown.peer.Name, err)
			conn.Close()
		}
	}
}
