package vitals

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NotifyVariable names the environment variable that tells a command into which
// of its descriptors notes go.
const NotifyVariable = "FLEETCRON_NOTIFY_FD"

// MaxNote is how many bytes a note may have, its newline not counted.
const MaxNote = 4096

// Kind is the word that a note begins with.
type Kind string

// The kinds of notes. Each is also a sign of life.
const (
	Heartbeat  Kind = "HEARTBEAT"  // HEARTBEAT [words]
	Progress   Kind = "PROGRESS"   // PROGRESS percent [words]
	Checkpoint Kind = "CHECKPOINT" // CHECKPOINT [value]: empty forgets it
	Ready      Kind = "READY"      // READY [words]: it is up, its probes count from now on
)

// Note is one line that a command writes about itself.
type Note struct {
	Kind    Kind
	Percent float64 // of Progress: 0–100
	Text    string  // the words; of Checkpoint the value, exactly
}

// ParseNote reads a line without its newline. Words lose what cannot be
// printed; a checkpoint is taken as it is or not at all.
func ParseNote(line string) (Note, error) {
	line = strings.TrimSuffix(line, "\r")
	if len(line) > MaxNote {
		return Note{}, fmt.Errorf("a note has at most %d bytes", MaxNote)
	}
	word, rest, _ := strings.Cut(line, " ")
	note := Note{Kind: Kind(word)}
	switch note.Kind {
	case Checkpoint:
		note.Text = rest
		return note, checkValue(rest)
	case Progress:
		number, words, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		percent, err := parsePercent(number)
		note.Percent, note.Text = percent, Printable(words, MaxNote)
		return note, err
	case Heartbeat, Ready:
		note.Text = Printable(rest, MaxNote)
		return note, nil
	}
	return Note{}, errors.New("want HEARTBEAT, PROGRESS, CHECKPOINT or READY at the beginning of the line")
}

// parsePercent reads "40", "42.5" or "42.5%".
func parsePercent(text string) (float64, error) {
	digits := strings.TrimSuffix(text, "%")
	percent, err := strconv.ParseFloat(digits, 64)
	plain := digits != "" && strings.Trim(digits, "0123456789.") == ""
	if err != nil || !plain || percent > 100 {
		return 0, fmt.Errorf("progress %q: want percent, 0–100", Printable(text, 40))
	}
	return percent, nil
}

// checkValue accepts what an environment variable can hold in one line.
func checkValue(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("checkpoint: want UTF-8")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		return errors.New("checkpoint: want text without control characters; encode it, with base64 for example")
	}
	return nil
}

// Line returns the line that ParseNote reads as this note, its newline included.
// A note that no line says is an error.
func (n Note) Line() (string, error) {
	line := string(n.Kind)
	if n.Kind == Progress {
		line += " " + strconv.FormatFloat(n.Percent, 'f', -1, 64)
	}
	if n.Text != "" {
		line += " " + n.Text
	}
	if strings.Contains(line, "\n") {
		return "", errors.New("a note is one line")
	}
	back, err := ParseNote(line)
	if err == nil && back != n {
		err = errors.New("want text that can be printed, without spaces around it")
	}
	return line + "\n", err
}

// Printable returns text in one line without what cannot be printed, and cut
// after at most that many bytes.
func Printable(text string, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	clean = strings.TrimSpace(clean)
	if len(clean) <= most {
		return clean
	}
	const cut = "…"
	return strings.TrimSpace(strings.ToValidUTF8(clean[:max(0, most-len(cut))], "")) + cut
}
