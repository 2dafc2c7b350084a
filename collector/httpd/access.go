package httpd

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// logAccess tells of a request: a fault of ours as an error, a change as an
// event, everything else only to who asked for debug.
func (s *Server) logAccess(r *http.Request, w *recorder, took time.Duration) {
	ex := exchangeOf(r.Context())
	route, method := "none", "other" // a stranger's words are no labels
	level := slog.LevelDebug
	if ex.route != nil {
		route, method = ex.route.Path, ex.route.Method
		if r.Method != http.MethodGet && ex.route.Permission != BeAgent {
			level = slog.LevelInfo
		}
	}
	if ex.problem != nil && fleet.KindOf(ex.problem) == fleet.Internal {
		level = slog.LevelError
	}
	if s.Logger.Enabled(r.Context(), level) {
		s.Logger.LogAttrs(r.Context(), level, "request", facts(r, w, ex, took)...)
	}
	s.metrics.requests.WithLabelValues(method, route, strconv.Itoa(w.status)).Inc()
	s.metrics.seconds.WithLabelValues(method, route).Observe(took.Seconds())
}

func facts(r *http.Request, w *recorder, ex *exchange, took time.Duration) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("request_id", ex.id), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", w.status), slog.Int64("bytes", w.bytes),
		slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.String("remote", r.RemoteAddr),
	}
	if ex.caller.Kind != "" {
		attrs = append(attrs, slog.String("caller", ex.caller.String()))
	}
	if ex.problem != nil {
		attrs = append(attrs, slog.String("error", ex.problem.Error()))
	}
	return attrs
}
