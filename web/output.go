package web

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How much of a stream a page shows, in bytes, and how long it waits for it.
const (
	headShown  = 32 << 10
	tailShown  = 96 << 10
	outputTime = 5 * time.Second
)

// stream is what a page shows of one stream of a run.
type stream struct {
	Name string
	URL  string // of the whole
	Head string
	Cut  int64 // bytes between Head and Tail that are not shown
	Tail string
	Size int64
	Why  string // it could not be read; empty when it was
}

// output fetches both streams at once. silent is true when the host cannot be
// asked now.
func (s *site) output(ctx context.Context, id fleet.RunID) (streams []stream, silent bool) {
	ctx, cancel := context.WithTimeout(ctx, outputTime)
	defer cancel()
	streams = []stream{{Name: "stdout"}, {Name: "stderr"}}
	failed := make([]error, len(streams))
	var wait sync.WaitGroup
	for i := range streams {
		wait.Go(func() {
			var kept window
			_, failed[i] = s.src.Logs(ctx, id, api.OutputQuery{Stream: streams[i].Name}, &kept)
			kept.fill(&streams[i])
			streams[i].URL = runURL(id) + "/" + streams[i].Name + ".txt"
		})
	}
	wait.Wait()
	for i, err := range failed {
		if err == nil {
			continue
		}
		if fleet.KindOf(err) == fleet.Unavailable || ctx.Err() != nil {
			return nil, true
		}
		s.log.Warn("output not read", "run", id, "stream", streams[i].Name, "error", err)
		streams[i].Why = err.Error()
	}
	return streams, false
}

// window is a writer that keeps the beginning and the end of what passes.
type window struct {
	head []byte
	tail []byte // the last bytes, twice tailShown at most
	size int64
}

// Write never fails.
func (w *window) Write(p []byte) (int, error) {
	n := len(p)
	w.size += int64(n)
	if room := headShown - len(w.head); room > 0 {
		room = min(room, len(p))
		w.head = append(w.head, p[:room]...)
		p = p[room:]
	}
	if len(p) > tailShown {
		p = p[len(p)-tailShown:]
	}
	w.tail = append(w.tail, p...)
	if over := len(w.tail) - tailShown; over > tailShown {
		w.tail = append(w.tail[:0], w.tail[over:]...)
	}
	return n, nil
}

// fill writes what was kept into a stream.
func (w *window) fill(s *stream) {
	tail := w.tail[max(0, len(w.tail)-tailShown):]
	s.Size = w.size
	s.Cut = w.size - int64(len(w.head)) - int64(len(tail))
	s.Head, s.Tail = string(w.head), string(tail)
	if s.Cut == 0 {
		s.Head, s.Tail = s.Head+s.Tail, ""
	}
}

// Empty reports whether nothing was written.
func (s stream) Empty() bool { return s.Size == 0 && s.Why == "" }

// forms are those in which a run's output is sent, by their names.
var forms = map[string]api.OutputQuery{
	"stdout.txt": {Stream: "stdout"},
	"stderr.txt": {Stream: "stderr"},
	"log.txt":    {Stream: "both", Times: true},                                    // both in order, with times
	"live.txt":   {Stream: "both", Times: true, Follow: true, Tail: tailShown / 2}, // as it is written, until the run ends
}

// serveOutput sends output as it is, to be saved and not to be shown: it is
// what a stranger's command says. The script that shows it live makes text of
// it.
func (s *site) serveOutput(w http.ResponseWriter, r *http.Request) {
	id, name := fleet.RunID(r.PathValue("id")), r.PathValue("file")
	query, known := forms[name]
	if !known {
		s.serveError(w, r, errNoPage(r.URL.Path))
		return
	}
	if _, err := s.src.Run(r.Context(), id); err != nil {
		s.serveError(w, r, err)
		return
	}
	raw := &download{ResponseWriter: w, name: name, live: query.Follow}
	defer func() { // what is left goes out behind this, and the server takes the deadline away
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(api.ReaderPatience)) // a test's recorder has none
	}()
	_, err := s.src.Logs(r.Context(), id, query, raw)
	switch {
	case err != nil && raw.begun && r.Context().Err() != nil: // the reader has enough
	case err != nil && raw.begun:
		s.log.Warn("output broke off", "run", id, "file", name, "error", err)
		panic(http.ErrAbortHandler) // so that the reader sees that it is not whole
	case err != nil:
		s.serveError(w, r, err)
	default:
		raw.begin()
	}
}

// download sends its headers with the first byte, so that an error before it
// can still be an error page.
type download struct {
	http.ResponseWriter
	name  string
	live  bool // each piece goes out at once
	begun bool
}

var _ io.Writer = (*download)(nil)

func (d *download) begin() {
	if d.begun {
		return
	}
	d.begun = true
	d.Header().Set("Content-Type", "text/plain; charset=utf-8")
	d.Header().Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
}

// Write sends bytes of the output.
func (d *download) Write(p []byte) (int, error) {
	d.begin()
	connection := http.NewResponseController(d.ResponseWriter)
	_ = connection.SetWriteDeadline(time.Now().Add(api.ReaderPatience)) // a test's recorder has none
	n, err := d.ResponseWriter.Write(p)
	if d.live && err == nil {
		err = connection.Flush()
	}
	_ = connection.SetWriteDeadline(time.Time{}) // the answer after this one has its own
	return n, err
}
