package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
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

// libraryLogger returns the logger that serf and memberlist want, writing to l.
func libraryLogger(l *slog.Logger) *log.Logger { return log.New(logLines{l}, "", 0) }

// logLines turns lines such as "[WARN] memberlist: what happened" into records.
type logLines struct{ to *slog.Logger }

func (w logLines) Write(line []byte) (int, error) {
	level, component, message := parseLine(string(line))
	w.to.LogAttrs(context.Background(), level, message, slog.String("component", component))
	return len(line), nil
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
