package httpd

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/logging"
)

// exchange is what is known of a request beside what it says.
type exchange struct {
	id      string // of the request
	trace   string // W3C trace id
	route   *Route // nil until one was found
	caller  fleet.Principal
	index   uint64        // that the answer was read at; zero: the ledger's
	applied func() uint64 // of a change: the index to answer with
	problem error         // what was answered, if that was a problem
	ring    func() string // of an agent: digest of the gossip keys, which it is told when the answer begins, maybe a long wait later
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a context, nil outside a request.
func exchangeOf(ctx context.Context) *exchange {
	ex, _ := ctx.Value(exchangeKey{}).(*exchange)
	return ex
}

var (
	requestID   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	traceparent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}`)
)

const noTrace = "00000000000000000000000000000000"

// newExchange takes over the ids of the caller where they are well formed.
func newExchange(r *http.Request) *exchange {
	ex := &exchange{id: r.Header.Get(api.HeaderRequestID)}
	if !requestID.MatchString(ex.id) {
		ex.id = rand.Text()
	}
	parent := traceparent.FindStringSubmatch(r.Header.Get("Traceparent"))
	if parent != nil && parent[1] != "ff" && parent[2] != noTrace {
		ex.trace = parent[2]
	} else {
		sum := sha256.Sum256([]byte(ex.id))
		ex.trace = hex.EncodeToString(sum[:16])
	}
	return ex
}

// digest tells this request from every other one.
func (r *request) digest() string {
	sum := sha256.New()
	for _, part := range []string{r.Method, r.URL.Path, r.URL.RawQuery, r.media, r.Header.Get("If-Match"), r.Header.Get("If-None-Match")} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	sum.Write(r.body)
	return hex.EncodeToString(sum.Sum(nil))
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	exchange *exchange
	status   int
	bytes    int64
}

// WriteHeader remembers the status.
func (w *recorder) WriteHeader(status int) {
	if status >= 200 {
		w.begin(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// begin is called before the first byte of an answer.
func (w *recorder) begin(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.exchange.ring != nil {
		w.Header().Set(api.HeaderRing, w.exchange.ring())
	}
}

// Write counts.
func (w *recorder) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe gives each request its exchange, catches panics, and logs and counts
// what came of it.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		ex := newExchange(r)
		ctx := context.WithValue(logging.WithTrace(r.Context(), ex.trace), exchangeKey{}, ex)
		r = r.WithContext(ctx)
		recorded := &recorder{ResponseWriter: w, exchange: ex}
		w.Header().Set(api.HeaderRequestID, ex.id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		s.metrics.inFlight.Inc()
		defer func() {
			s.metrics.inFlight.Dec()
			abort := s.caught(recorded, r, recover())
			s.logAccess(r, recorded, time.Since(began))
			if abort {
				panic(http.ErrAbortHandler)
			}
		}()
		limitBody(recorded, r)
		next.ServeHTTP(recorded, r)
	})
}

// caught answers for a panic. What has begun to be answered must be broken off.
func (s *Server) caught(w *recorder, r *http.Request, panicked any) (abort bool) {
	if panicked == nil || panicked == http.ErrAbortHandler {
		return panicked != nil
	}
	s.Logger.ErrorContext(r.Context(), "request panicked",
		"request_id", exchangeOf(r.Context()).id, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	if w.status != 0 {
		return true
	}
	writeProblem(w, r, fleet.Errorf(fleet.Internal, "panic"))
	return false
}
