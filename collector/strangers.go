package collector

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// strangers lets nobody in.
type strangers struct{}

// Admit refuses every token.
func (strangers) Admit(string, []byte, time.Time) (fleet.Token, error) {
	return fleet.Token{}, fleet.Errorf(fleet.Unauthenticated, "nobody has a token yet")
}

// AdmitNode refuses every machine.
func (strangers) AdmitNode(fleet.PrincipalKind, string, string) error {
	return fleet.Errorf(fleet.Unauthenticated, "no machine is enrolled yet")
}
