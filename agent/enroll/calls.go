package enroll

import (
	"context"
	"crypto/tls"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Calls are Collectors that are asked over a connection of its own each time. A
// connection that was kept shows the certificate that was in force when it was
// made, and a renewal is for the one of its connection.
type Calls struct {
	Credentials *pki.Credentials
	Addresses   func() []string
	UserAgent   string
	TLS         *tls.Config // instead of the credentials' own; nil: that
}

// Renew asks for the next certificate.
func (c Calls) Renew(ctx context.Context, host fleet.HostID, request api.Renew) (answer api.Enrolled, err error) {
	err = c.call(func(client *api.Client) error {
		answer, err = client.Renew(ctx, host, request)
		return err
	})
	return answer, err
}

// GossipTicket asks for the gossip keys and a ticket.
func (c Calls) GossipTicket(ctx context.Context) (answer api.GossipTicket, err error) {
	err = c.call(func(client *api.Client) error {
		answer, err = client.GossipTicket(ctx)
		return err
	})
	return answer, err
}

func (c Calls) call(do func(*api.Client) error) error {
	conf := c.TLS
	if conf == nil {
		conf = c.Credentials.ClientTLS(pki.PlaneAgent, pki.RoleCollector)
	}
	client, err := api.NewClient(api.Config{Addresses: c.Addresses(), UserAgent: c.UserAgent, Rounds: 1, TLS: conf})
	if err != nil {
		return err
	}
	defer client.Close()
	return do(client)
}
