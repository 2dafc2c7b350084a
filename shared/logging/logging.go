// Package logging provides the one log format of fleetcron's programs: lines
// of JSON, or of text for people, with the fields timestamp, level, message,
// service and, where they are known, trace_id, host, task_id, run_id and actor.
package logging

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Config says how a program logs. The zero value is level info as JSON.
type Config struct {
	Level  string `yaml:"level" help:"least level logged: debug, info, warn or error"`
	Format string `yaml:"format" help:"json, or text for people"`
}

// New returns a logger that writes to w and names the service in each line.
// It returns a Usage error for a level or format that does not exist.
func New(w io.Writer, config Config, service string) (*slog.Logger, error) {
	var level slog.Level
	if config.Level != "" {
		if err := level.UnmarshalText([]byte(config.Level)); err != nil {
			return nil, &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "log.level", Value: config.Level, Reason: "want debug, info, warn or error"}}}
		}
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: rename}
	var handler slog.Handler
	switch config.Format {
	case "", "json":
		handler = slog.NewJSONHandler(w, options)
	case "text":
		handler = slog.NewTextHandler(w, options)
	default:
		return nil, &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "log.format", Value: config.Format, Reason: "want json or text"}}}
	}
	return slog.New(traced{handler}).With("service", service), nil
}

// rename gives fields the names that log pipelines expect.
func rename(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return attr
	}
	switch attr.Key {
	case slog.TimeKey:
		attr.Key = "timestamp"
	case slog.MessageKey:
		attr.Key = "message"
	case "task", "run":
		attr.Key += "_id"
	case slog.LevelKey:
		attr.Value = slog.StringValue(strings.ToLower(attr.Value.String()))
	}
	return attr
}

type traceKey struct{}

// WithTrace returns a context whose log lines carry the trace id.
func WithTrace(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, traceKey{}, id)
}

// traced adds the trace id of the context to each line.
type traced struct{ slog.Handler }

// Handle adds trace_id where the context has one.
func (h traced) Handle(ctx context.Context, record slog.Record) error {
	if id, known := ctx.Value(traceKey{}).(string); known {
		record.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs keeps the trace id in derived loggers.
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

// WithGroup keeps the trace id in derived loggers.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
