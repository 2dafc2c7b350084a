package policy

import (
	"crypto/ed25519"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Policy is what a host's own file says of what may run there. Deny beats
// allow, and what it does not allow it forbids.
type Policy struct {
	Execute   bool // false: this host only reports
	Threshold int  // how many distinct keys must have signed; at least 1
	Keys      []Key

	Users       Users
	Groups      []string // that a task may give beside the user's own
	Commands    []Command
	Shell       bool // texts for a shell, and shells as commands
	Login       bool // the user's login shell with its profile
	Env         []string
	Dirs        []string // below which run.dir may lie; nil: anywhere
	Probes      Probes
	MaxTimeout  time.Duration // zero: no bound
	MaxParallel int           // runs of one task at once; zero: no bound
	MinNice     int
	Hours       Hours // in which runs may begin, also those that people order

	Orders    bool          // whether a person may order a run now
	Every     time.Duration // between two orders, events or triggers of one task; zero: no bound
	Adoption  bool
	TwoPerson []fleet.Danger
	Unsigned  []string // causes that nobody signs: "webhook"
	Labels    map[string]string

	Digest string // SHA-256 of the file, hex
	lines  map[string]int
	files  contents
}

// Key is a public key that this host trusts, and for what.
type Key struct {
	Public     ed25519.PublicKey
	Name       string // for people
	Namespaces []string
	May        []string  // what it is for, as mayWords; nil: everything
	NotBefore  time.Time // zero: at once
	NotAfter   time.Time // zero: for ever
	line       int
}

// Users says as whom commands run.
type Users struct {
	Allow  []string // names, or "*": whoever has at least MinUID
	Deny   []string // names; all other names of their numbers with them
	MinUID int
}

// Command is a program that may be run.
type Command struct {
	Path string // absolute; * stands for a part of its last element, and alone for every program
	// Args holds a pattern for each argument, in their order; Rest is the
	// pattern of each further one. Without Rest there may be no more.
	Args []Pattern
	Rest *Pattern
	// Stdin is the pattern of what it may be given to read; nil: nothing. Of what an
	// interpreter reads it does what it is told.
	Stdin *Pattern
	// SHA256 lists what its file may hold; nil: whatever it does. Of a script that
	// is the script alone, and not what reads it.
	SHA256 []string
	line   int
}

// Probes says what a task may look at beside running commands.
type Probes struct {
	Files []string // directories below which it may wait for files
	TCP   []string // host:port, * stands for a part; URLs count by theirs
	Units []string // names, * stands for a part
}

// Pattern is a regular expression that the whole of a text must match.
type Pattern struct {
	text string
	is   *regexp.Regexp
}

// newPattern compiles the text, first by itself, so that no parenthesis in it
// closes ours.
func newPattern(text string) (Pattern, error) {
	if _, err := regexp.Compile(text); err != nil {
		return Pattern{}, err
	}
	is, err := regexp.Compile(`\A(?:` + text + `)\z`)
	return Pattern{text, is}, err
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Matches reports whether the whole text fits.
func (p Pattern) Matches(text string) bool { return p.is.MatchString(text) }

// defaults is a policy that says nothing.
func defaults() Policy {
	return Policy{
		Threshold: 1, Orders: true,
		Users:  Users{Deny: []string{"root"}, MinUID: 1000},
		Probes: Probes{TCP: []string{"127.0.0.1:*", "[::1]:*", "localhost:*"}, Units: []string{"*"}},
		lines:  map[string]int{},
	}
}

// line is where the file says something of a key; 0: nowhere.
func (p *Policy) line(key string) int {
	for {
		if line := p.lines[key]; line > 0 {
			return line
		}
		up := strings.LastIndexByte(key, '.')
		if up < 0 {
			return 0
		}
		key = key[:up]
	}
}

// matchesProgram reports whether the path is one that the command means.
func (c *Command) matchesProgram(program string) bool {
	matched, err := path.Match(c.Path, program)
	return c.Path == "*" || err == nil && matched
}

// matchesArgs reports whether each argument fits. Of those that are open nobody
// knows yet what they say: it is enough that there may be so many.
func (c *Command) matchesArgs(args []string, open []bool) bool {
	for i, arg := range args {
		switch {
		case open != nil && open[i]:
			if i >= len(c.Args) && c.Rest == nil {
				return false
			}
		case i < len(c.Args):
			if !c.Args[i].Matches(arg) {
				return false
			}
		case c.Rest == nil || !c.Rest.Matches(arg):
			return false
		}
	}
	return len(args) >= len(c.Args)
}

// matchesStdin reports whether the program may be given that to read; open: nobody
// knows yet what it is.
func (c *Command) matchesStdin(text string, open bool) bool {
	return text == "" || c.Stdin != nil && (open || c.Stdin.Matches(text))
}

// holds reports whether the key may speak for the namespace at that time.
func (k *Key) holds(namespace string, now time.Time) bool {
	return k.inForce(now) && (slices.Contains(k.Namespaces, fleet.Everywhere) || slices.Contains(k.Namespaces, namespace))
}

func (k *Key) inForce(now time.Time) bool {
	return (k.NotBefore.IsZero() || !now.Before(k.NotBefore)) && (k.NotAfter.IsZero() || now.Before(k.NotAfter))
}

// matchesAny reports whether a text is one of the patterns, in which * stands
// for any part without a slash.
func matchesAny(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		matched, err := path.Match(strings.ReplaceAll(strings.ReplaceAll(pattern, "[", `\[`), "]", `\]`), text)
		return pattern == "*" || err == nil && matched
	})
}

// below reports whether a clean path is one of the directories, or lies in one.
func below(dirs []string, name string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
	})
}

// String names the key for people.
func (k *Key) String() string {
	if k.Name == "" {
		return seal.KeyID(k.Public)
	}
	return k.Name + " (" + seal.KeyID(k.Public) + ")"
}

// Doubts lists what a person may not have meant.
func (p *Policy) Doubts() (list []string) {
	doubt := func(key, text string) {
		if line := p.line(key); line > 0 {
			text = fmt.Sprintf("line %d: %s", line, text)
		}
		list = append(list, text)
	}
	for i := range p.Commands {
		if p.Commands[i].Path == "*" && !p.Shell {
			doubt(fmt.Sprintf("commands[%d]", i), "every program may run, and some of them (env, find, python, …) run others and shells")
		}
	}
	if len(p.Users.Allow) == 0 {
		doubt("users.allow", "no user is allowed, so nothing runs")
	}
	if len(p.Commands) == 0 && !p.Shell {
		doubt("commands", "no command is allowed, so nothing runs")
	}
	if slices.Contains(p.Users.Allow, "root") && slices.Contains(p.Users.Deny, "root") {
		doubt("users.deny", "root is allowed and denied, and deny goes before allow")
	}
	if p.Adoption && !p.Shell {
		doubt("adoption", "the lines of crontabs are texts for a shell, which this policy does not allow")
	}
	if len(p.Keys) > 0 && !slices.ContainsFunc(p.Keys, func(k Key) bool { return k.may("task") || k.may("adopt") }) {
		doubt("keys", "no key is for tasks, so none can be given")
	}
	if len(p.TwoPerson) > 0 && len(p.Keys) < 2 {
		doubt("two_person", "needs the keys of two people, and there is one")
	}
	return list
}
