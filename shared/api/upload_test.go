package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
)

// wire is a way to a collector in memory.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// drowsy says something once an hour.
type drowsy struct {
	words  []string
	closed bool
}

func (d *drowsy) Read(p []byte) (int, error) {
	time.Sleep(time.Hour)
	if len(d.words) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.words[0])
	d.words = d.words[1:]
	return n, nil
}

func (d *drowsy) Close() error {
	d.closed = true
	return nil
}

func wired(t *testing.T, w wire) *api.Client {
	t.Helper()
	client, err := api.NewClient(api.Config{Addresses: []string{"http://127.0.0.1:7770"}, Rounds: 1, Transport: w})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// What is followed for hours is answered for as long; what is over is not.
func TestAnAnswerTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard string
		client := wired(t, func(r *http.Request) (*http.Response, error) {
			text, err := io.ReadAll(r.Body)
			heard = string(text)
			if err == nil && r.Context().Err() == nil {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, r.Body.Close()
			}
			return nil, context.Cause(r.Context())
		})
		output := &drowsy{words: []string{"one ", "two ", "three"}}
		if err := client.Answer(t.Context(), "h", "a", 0, output); err != nil || heard != "one two three" || !output.closed {
			t.Errorf("%q, closed %v, %v", heard, output.closed, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		client := wired(t, func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		err := client.Answer(t.Context(), "h", "a", 0, &drowsy{})
		if took := time.Since(began); err == nil || took != time.Hour+10*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}
