package bench

import (
	"sync"
	"testing"

	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// issued is the one fleet of these benchmarks, whose ledgers outlive a
// collector.
var issued struct {
	once  sync.Once
	fleet *pkitest.Fleet
}

// certified returns the credentials of collector c1.
func certified(b *testing.B) *pki.Credentials {
	issued.once.Do(func() { issued.fleet = pkitest.New(b) })
	return issued.fleet.Collector("c1")
}
