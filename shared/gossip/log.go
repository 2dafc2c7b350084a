package gossip

import (
	"context"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// libraryLevels maps the levels that serf and memberlist write in brackets.
// What they call information happens all the time, so it is for debugging here.
var libraryLevels = map[string]slog.Level{
	"TRACE": slog.LevelDebug,
	"DEBUG": slog.LevelDebug,
	"INFO":  slog.LevelDebug,
	"WARN":  slog.LevelWarn,
	"ERR":   slog.LevelError,
	"ERROR": slog.LevelError,
}

// A stranger's packet is a line of the library's, so lines are rationed: a
// burst, and then one now and then that says how many were left out.
const (
	linesBurst = 20
	linesEvery = 5 * time.Second
)

// unreadable begins the lines about what could not be deciphered: another key,
// no key, or the label of another fleet.
var unreadable = []string{
	"Decrypt packet failed", "discarding packet with unacceptable label", "discarding stream with unacceptable label", "failed to receive",
}

// logLines turns lines such as "[WARN] memberlist: what happened" into records.
type logLines struct {
	to         *slog.Logger
	unreadable atomic.Uint64

	mu      sync.Mutex // guards what follows
	ration  float64    // lines that may be written at once
	asked   time.Time
	leftOut int
}

// newLogLines returns the writer for the logger that serf and memberlist want.
func newLogLines(to *slog.Logger) *logLines { return &logLines{to: to, ration: linesBurst} }

func (w *logLines) logger() *log.Logger { return log.New(w, "", 0) }

func (w *logLines) Write(line []byte) (int, error) {
	level, component, message := parseLine(string(line))
	if slices.ContainsFunc(unreadable, func(prefix string) bool { return strings.HasPrefix(message, prefix) }) {
		w.unreadable.Add(1)
	}
	facts := []slog.Attr{slog.String("component", component)}
	if level >= slog.LevelWarn {
		leftOut, may := w.may(time.Now())
		if !may {
			return len(line), nil
		}
		if leftOut > 0 {
			facts = append(facts, slog.Int("left_out", leftOut))
		}
	}
	w.to.LogAttrs(context.Background(), level, message, facts...)
	return len(line), nil
}

// may reports whether a line may be written now, and how many were not since
// the last one.
func (w *logLines) may(now time.Time) (leftOut int, may bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.asked.IsZero() {
		w.ration = min(linesBurst, w.ration+now.Sub(w.asked).Seconds()/linesEvery.Seconds())
	}
	w.asked = now
	if w.ration < 1 {
		w.leftOut++
		return 0, false
	}
	w.ration--
	leftOut, w.leftOut = w.leftOut, 0
	return leftOut, true
}

// parseLine splits a line of the library; a line without a level is a warning.
func parseLine(line string) (level slog.Level, component, message string) {
	level, component, message = slog.LevelWarn, "serf", strings.TrimSpace(line)
	if rest, found := strings.CutPrefix(message, "["); found {
		if name, tail, found := strings.Cut(rest, "] "); found {
			if known, ok := libraryLevels[name]; ok {
				level, message = known, tail
			}
		}
	}
	for _, name := range []string{"memberlist", "serf"} {
		if tail, found := strings.CutPrefix(message, name+": "); found {
			return level, name, tail
		}
	}
	return level, component, message
}
