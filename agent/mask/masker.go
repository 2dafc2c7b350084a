package mask

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// KeySize is how many bytes a host's key has.
const KeySize = 32

// Redacted is what stands for a secret where no key is at hand.
const Redacted = "<redacted>"

// Masker masks secrets under one host's key. It may be used by several
// goroutines at once.
type Masker struct{ key []byte }

// New returns the masker of a host. The key is random, [KeySize] bytes long
// and never leaves the host.
func New(key []byte) *Masker { return &Masker{key: append([]byte(nil), key...)} }

// mark is the placeholder of a secret: equal secrets have equal ones.
func (m *Masker) mark(secret string) string {
	sum := hmac.New(sha256.New, m.key)
	sum.Write([]byte(secret))
	return "<redacted:" + hex.EncodeToString(sum.Sum(nil)[:4]) + ">"
}

func constant(string) string { return Redacted }

// Text returns text with its secrets masked, and whether there were any. To
// mask it again changes nothing.
func (m *Masker) Text(text string) (string, bool) { return masked(text, false, m.mark) }

// Command is Text for a command as it stands in a crontab, where all that
// follows an unescaped "%" is input for the command and is masked as well.
func (m *Masker) Command(text string) (string, bool) { return masked(text, true, m.mark) }

// Constant returns a command with [Redacted] in place of every secret, and
// whether there were any. Hashes of it tell nothing of the secrets.
func Constant(command string, crontab bool) (string, bool) {
	return masked(command, crontab, constant)
}

// ConstantOf is [Constant] for the command of a job.
func ConstantOf(job *fleet.Job) (string, bool) { return maskedOf(job, constant) }

func maskedOf(job *fleet.Job, mark func(string) string) (string, bool) {
	crontab := job.Kind == fleet.KindCron
	if crontab && strings.HasPrefix(job.Command, "-") { // the program stands where a user was forgotten
		whole, any := masked(job.User+" "+job.Command, crontab, mark)
		if rest, ok := strings.CutPrefix(whole, job.User+" "); ok {
			return rest, any
		}
	}
	return masked(job.Command, crontab, mark)
}

// maxRounds bounds how often a text is gone over. What is masked may show what
// stands beside it in another light; a text made to go on like that for ever
// is masked as a whole.
const maxRounds = 6

func masked(text string, crontab bool, mark func(string) string) (string, bool) {
	if innocent(text, crontab) {
		return text, false
	}
	any := false
	for range maxRounds {
		spans := find(text, crontab)
		if len(spans) == 0 {
			return text, any
		}
		any = true
		text = replace(text, spans, mark)
	}
	return mark(text), true
}

func replace(text string, spans []span, mark func(string) string) string {
	var b strings.Builder
	b.Grow(len(text))
	at := 0
	for _, s := range spans {
		b.WriteString(text[at:s.start])
		b.WriteString(mark(text[s.start:s.end]))
		at = s.end
	}
	b.WriteString(text[at:])
	return b.String()
}

// Env returns an environment with its secrets masked: values whose names say
// that they are secret, and whatever is secret within the others. The map
// itself is not changed; where nothing is secret it is what comes back.
func (m *Masker) Env(env map[string]string) map[string]string {
	var out map[string]string
	for name, value := range env {
		hidden, any := m.setting(name, value)
		if !any {
			continue
		}
		if out == nil {
			out = make(map[string]string, len(env))
			for name, value := range env {
				out[name] = value
			}
		}
		out[name] = hidden
	}
	if out == nil {
		return env
	}
	return out
}

func (m *Masker) setting(name, value string) (string, bool) {
	if secretSetting(name, value) {
		return m.mark(value), true
	}
	return m.Text(value)
}

// SecretSettings returns the names of the settings that hold a secret, in no
// order.
func SecretSettings(env map[string]string) []string {
	var names []string
	for name, value := range env {
		if secretSetting(name, value) || !innocent(value, false) && len(find(value, false)) > 0 {
			names = append(names, name)
		}
	}
	return names
}

func secretSetting(name, value string) bool {
	if innocent(name, false) {
		return false
	}
	strength := strengthOf(name)
	return strength != harmless && isSecret(value, strength)
}

// Report returns a report as it may leave the host: a copy with the secrets in
// its commands, environments, reasons and problems masked.
func (m *Masker) Report(report *fleet.Report) *fleet.Report {
	out := *report
	out.Jobs = make([]fleet.Job, len(report.Jobs))
	for i := range report.Jobs {
		out.Jobs[i] = m.job(report.Jobs[i])
	}
	out.Problems = make([]fleet.Problem, len(report.Problems))
	for i, p := range report.Problems {
		out.Problems[i] = m.problem(p)
	}
	return &out
}

// fieldsBefore are how many fields may stand before the command of a line.
var fieldsBefore = [...]int{1, 2, 3, 5, 6}

// problem masks a line as a whole, and what may be the command in it as one.
func (m *Masker) problem(p fleet.Problem) fleet.Problem {
	seen := seen{m: m}
	crontab := ofCrontab(p.Source)
	p.Text, _ = masked(p.Text, crontab, seen.mark)
	for _, n := range fieldsBefore {
		at := afterFields(p.Text, n)
		command, _ := masked(p.Text[at:], crontab, seen.mark)
		p.Text = p.Text[:at] + command
	}
	p.Reason = seen.text(p.Reason)
	return p
}

// afterFields is where a text goes on after its first fields.
func afterFields(text string, n int) int {
	at := 0
	for ; n > 0; n-- {
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t"))
		if end := strings.IndexAny(text[at:], " \t"); end >= 0 {
			at += end
		} else {
			return len(text)
		}
	}
	return at
}

// seen remembers the secrets of one job or problem: what is said about it may
// repeat one of them where nothing tells that it is one.
type seen struct {
	m       *Masker
	secrets []string
}

// leastRepeated is how long a secret must be to be looked for elsewhere: a
// shorter one may be a part of any word.
const leastRepeated = 5

func (s *seen) mark(secret string) string {
	if len(secret) >= leastRepeated {
		s.secrets = append(s.secrets, secret)
	}
	return s.m.mark(secret)
}

func (s *seen) text(text string) string {
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, s.m.mark(secret))
	}
	text, _ = s.m.Text(text)
	return text
}

func (m *Masker) job(job fleet.Job) fleet.Job {
	seen := seen{m: m}
	job.Command, _ = maskedOf(&job, seen.mark)
	job.User, _ = m.Text(job.User)
	job.Schedule, _ = m.Text(job.Schedule) // of a timer it may be any text
	job.Env = m.Env(job.Env)
	job.ManagedBy, _ = m.Text(job.ManagedBy)
	job.Verdict.Why = seen.text(job.Verdict.Why)
	if len(job.Risks) > 0 {
		job.Risks = append([]fleet.Risk(nil), job.Risks...)
		for i := range job.Risks {
			job.Risks[i].Why = seen.text(job.Risks[i].Why)
		}
	}
	if job.Evidence != nil {
		evidence := m.Evidence(*job.Evidence)
		job.Evidence = &evidence
	}
	return job
}

// Evidence returns what was seen of a job with the secrets in it masked.
func (m *Masker) Evidence(evidence fleet.Evidence) fleet.Evidence {
	evidence.From, _ = m.Text(evidence.From)
	evidence.Result, _ = m.Text(evidence.Result)
	return evidence
}

// ofCrontab reports whether a file is one in which "%" ends a command.
func ofCrontab(source string) bool {
	if at := strings.LastIndexByte(source, ':'); at >= 0 && strings.HasPrefix(source, "container:") {
		source = source[at+1:]
	}
	return strings.HasPrefix(source, "/etc/cron") || strings.HasPrefix(source, "/var/spool/cron")
}
