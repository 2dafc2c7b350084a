package httpd

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
)

// stuckReader is an answer to somebody who does not read: a write waits until its
// deadline.
type stuckReader struct {
	http.ResponseWriter
	deadline time.Time
}

var errStuck = errors.New("nobody reads")

func (s *stuckReader) SetWriteDeadline(at time.Time) error {
	s.deadline = at
	return nil
}

func (s *stuckReader) Write([]byte) (int, error) {
	if s.deadline.IsZero() {
		return 0, errors.New("without a deadline this waits for ever")
	}
	time.Sleep(time.Until(s.deadline))
	return 0, errStuck
}

// TestAReaderOfOutputWhoDoesNotRead keeps the place of a question only for a while.
func TestAReaderOfOutputWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := (&httpSink{ResponseWriter: &stuckReader{ResponseWriter: httptest.NewRecorder()}}).Write([]byte("output"))
		if waited := time.Since(began); !errors.Is(err, errStuck) || waited != api.ReaderPatience {
			t.Errorf("%v after %v, want that after %v", err, waited, api.ReaderPatience)
		}
	})
}
