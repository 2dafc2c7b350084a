package policy

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Draft is what a new policy says.
type Draft struct {
	Keys     []Trusted
	Users    []string
	Commands []string // every argument is allowed; "*": every program
	Shell    bool
	Adoption bool
}

// Trusted is a key for a policy file.
type Trusted struct {
	Public     ed25519.PublicKey
	Name       string   // for people; may be empty
	Namespaces []string // empty: all
	May        []string // what it is for, such as run and cancel; empty: everything
}

// ParseTrusted reads a key as people hand it on: the public key itself, or a
// file that holds it, followed by a name.
func ParseTrusted(text string, namespaces []string) (Trusted, error) {
	if !strings.HasPrefix(text, "fck1.") {
		content, err := os.ReadFile(text)
		if err != nil {
			return Trusted{}, fleet.Invalidf("key", text, "is neither a public key nor a file that holds one").WithHint("fleetctl key list shows yours")
		}
		text = string(content)
	}
	word, name, _ := strings.Cut(strings.TrimSpace(text), " ")
	public, err := seal.ParsePublic(word)
	name = strings.TrimSpace(name)
	if strings.ContainsAny(name, "\n\r") || len(name) > 100 {
		return Trusted{}, fleet.Invalidf("key", name, "want one key and a short name after it")
	}
	return Trusted{Public: public, Name: name, Namespaces: namespaces}, err
}

func (t *Trusted) item(indent string) string {
	namespaces := t.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{fleet.Everywhere}
	}
	text := indent + "- key: " + seal.PublicText(t.Public) + "\n"
	if t.Name != "" {
		text += indent + "  name: " + strconv.Quote(t.Name) + "\n"
	}
	text += indent + "  namespaces: " + list(namespaces) + "\n"
	if len(t.May) > 0 {
		text += indent + "  may: " + list(t.May) + "\n"
	}
	return text
}

// list writes words as YAML reads them, each in quotes.
func list(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strconv.Quote(word)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Text returns the draft as a file with comments. Without a key it lets nothing
// run.
func (d *Draft) Text() []byte {
	var out bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&out, format, args...) }
	say("# What fleetcron may run on this host. Only root may write this file and the\n# directories on the way to it; no collector can. Changes are taken in within\n# seconds. fleetcron-agent policy check says what is wrong with it,\n# fleetcron-agent policy explain TASK what a task meets here.\n\n")
	say("# off: this host only reports. on: what a key below signed may run.\n")
	if len(d.Keys) > 0 {
		say("execute: on\n\n")
	} else {
		say("execute: off\n\n")
	}
	say("# Whose signatures count, and how many different ones a task needs.\n# fleetcron-agent policy trust KEY adds one; fleetctl key list shows yours.\nthreshold: 1\n")
	if len(d.Keys) == 0 {
		say("keys: []\n")
	} else {
		say("keys:\n")
	}
	for i := range d.Keys {
		say("%s", d.Keys[i].item("  "))
	}
	deny := "[root]"
	if slices.Contains(d.Users, "root") {
		deny = "[]"
	}
	say("\n# As whom commands run. Deny goes before allow, and means every name of that\n# number. \"*\" allows whoever has at least min_uid.\nusers:\n  allow: %s\n  deny: %s\n  # min_uid: 1000\n", list(d.Users), deny)
	say("\n# What may be run, by its absolute path; \"*\" is every program. args holds a\n# regular expression for each argument, which must match all of it; rest is for\n# all further ones. The program and its directories must be safe from others;\n# with sha256 its file must hold just that, too. stdin is for what it is given\n# to read; without it, nothing.\n")
	if len(d.Commands) == 0 {
		say("commands: []\n  # - path: /usr/local/bin/backup\n  #   args: [\"--(full|diff)\"]\n")
	} else {
		say("commands:\n")
	}
	for _, command := range d.Commands {
		say("  - path: %s\n    rest: \"(?s).*\" # any arguments\n", strconv.Quote(command))
		if command == "*" {
			say("    stdin: \"(?s).*\" # and anything to read\n")
		}
	}
	say("\n# Whether commands may be texts for a shell, or shells. What a shell is told\n# is not limited by commands.\nshell: %s\n", word(d.Shell))
	say("\n# Whether a task may begin with its user's login shell and profile.\n# login: forbidden\n")
	say("\n# What a task may set in its command's environment; NAME* is every name that\n# begins so. LD_PRELOAD and its like are never set.\n")
	if d.Adoption {
		say("env: [%s] # as crontabs do\n", strings.Join(crontabNames, ", "))
	} else {
		say("# env: [LEVEL, \"BACKUP_*\"]\n")
	}
	say("\n# Below which directories run.dir may lie; without it anywhere.\n# dirs: [/srv]\n")
	say("\n# What tasks may look at beside running commands.\n# probes:\n#   files: [/srv/in]             # below these they may wait for files\n#   tcp: [\"127.0.0.1:*\", \"db-1:5432\"]\n#   units: [\"*\"]\n")
	say("\n# max_timeout: 6h    # limits.timeout is needed, and at most this\n# max_parallel: 4    # limits.per_host\n# min_nice: 0\n# groups: [adm]      # that a task may give beside its user's own\n")
	say("\n# When runs may begin, by this host's clock; without it at any time.\n# hours: [\"22:00-06:00\", \"Sat,Sun 00:00-24:00\"]\n")
	say("\n# Runs that people order (fleetctl run).\n# orders: {run: allowed, every: 1m}\n# What may come without a signature.\n# unsigned_triggers: [webhook]\n")
	say("\n# Whether tasks may take the place of this host's own jobs (fleetctl adopt).\nadoption: %s\n", word(d.Adoption))
	say("\n# What needs the signatures of two people: root, shell, everywhere, oneshot,\n# adoption.\n# two_person: [root, everywhere]\n")
	say("\n# Labels that tasks may select this host by. They go before those of agent.yaml.\n# labels: {role: db}\n")
	return out.Bytes()
}

// crontabNames are what the crontabs of distributions set.
var crontabNames = []string{"SHELL", "PATH", "HOME", "LOGNAME", "MAILTO", "MAILFROM", "LANG", `"LC_*"`, "TZ", "CRON_TZ", "RANDOM_DELAY"}

func word(yes bool) string {
	if yes {
		return "allowed"
	}
	return "forbidden"
}

// Init writes a new policy. One that is there stays.
func Init(path string, d *Draft) error {
	text := d.Text()
	if _, err := Parse(text); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fleet.Errorf(fleet.Conflict, "%s is there already", path).WithHint("change it by hand, or add a key with fleetcron-agent policy trust KEY")
	}
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// Trust adds a key to the policy at path, as its first, and leaves every other
// line as it is.
func Trust(path string, key Trusted) error {
	for _, may := range key.May {
		if reason := mayWord(may); reason != "" {
			return fleet.Invalidf("may", may, "%s", reason)
		}
	}
	text, err := readTrusted(path)
	if err != nil {
		return err
	}
	p, err := Parse(text)
	if err != nil {
		return err
	}
	for i := range p.Keys {
		if p.Keys[i].Public.Equal(key.Public) {
			return fleet.Errorf(fleet.Conflict, "line %d trusts that key already", p.Keys[i].line)
		}
	}
	next, err := withKey(text, p, key)
	if err != nil {
		return err
	}
	if p, err = Parse(next); err != nil || len(p.Keys) == 0 || !p.Keys[0].Public.Equal(key.Public) {
		return errByHand(key)
	}
	if err := replace(path, next); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

func errByHand(key Trusted) error {
	return fleet.Errorf(fleet.Conflict, "the keys of this file are written in a way that only a person can add to").WithHint("add under keys: %s", strings.TrimSpace(key.item("")))
}

func withKey(text []byte, p *Policy, key Trusted) ([]byte, error) {
	at := p.lines["keys"]
	if at == 0 {
		return append(bytes.TrimRight(text, "\n"), []byte("\n\nkeys:\n"+key.item("  "))...), nil
	}
	lines := strings.SplitAfter(string(text), "\n")
	head := strings.TrimSpace(strings.SplitN(lines[at-1], "#", 2)[0])
	indent := "  "
	switch {
	case head == "keys: []":
		lines[at-1] = "keys:\n"
	case head != "keys:":
		return nil, errByHand(key)
	case len(p.Keys) > 0:
		first := lines[p.Keys[0].line-1]
		indent = first[:len(first)-len(strings.TrimLeft(first, " "))]
	}
	lines[at-1] = strings.TrimRight(lines[at-1], "\n") + "\n" + key.item(indent)
	return []byte(strings.Join(lines, "")), nil
}
