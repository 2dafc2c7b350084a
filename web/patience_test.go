package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
)

// deadlines notes how long a reader may take for each piece.
type deadlines struct {
	http.ResponseWriter
	now  time.Time
	seen []time.Duration // of each write; negative: for ever
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.now = at
	return nil
}

func (d *deadlines) Write(p []byte) (int, error) {
	d.seen = append(d.seen, time.Until(d.now))
	return d.ResponseWriter.Write(p)
}

// TestADownloadIsReadInTime: whoever does not read output keeps no place at its
// host for ever, and whoever reads has time for each piece.
func TestADownloadIsReadInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection := &deadlines{ResponseWriter: httptest.NewRecorder()}
		to := &download{ResponseWriter: connection, name: "stdout.txt"}
		for range 3 {
			if _, err := to.Write([]byte("output")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // until there is more
		}
		for i, within := range connection.seen {
			if within != api.ReaderPatience {
				t.Errorf("piece %d may take %v, want %v", i, within, api.ReaderPatience)
			}
		}
		if len(connection.seen) != 3 || !connection.now.IsZero() {
			t.Errorf("%d pieces, afterwards a deadline of %v", len(connection.seen), connection.now)
		}
	})
}
