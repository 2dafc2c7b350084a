package discover

import "strings"

// wrapper is a program that starts the rest of its line.
type wrapper struct {
	alone    string // short options without a word of their own
	valued   string // short options that take one
	operands int    // words of its own before the command
	command  bool   // -c has the command as text, after the operands
	path     bool   // it searches another PATH
}

// wrappers is every such program that is seen through. One with an option that
// is not listed here is not.
var wrappers = map[string]wrapper{
	"env":         {alone: "v0", valued: "uC"},
	"nice":        {alone: "0123456789", valued: "n"},
	"ionice":      {alone: "t", valued: "cn"},
	"flock":       {alone: "snxeouF", valued: "wE", operands: 1, command: true},
	"lockrun":     {alone: "qv", valued: "L"},
	"setlock":     {alone: "nNxX", operands: 1},
	"timeout":     {alone: "vfp", valued: "ks", operands: 1},
	"chronic":     {alone: "ve"},
	"cronic":      {},
	"nohup":       {},
	"setsid":      {alone: "cfw"},
	"exec":        {alone: "cl", valued: "a"},
	"command":     {},
	"time":        {alone: "pv", valued: "fo"},
	"stdbuf":      {valued: "ioe"},
	"systemd-cat": {valued: "tp"},
	"chrt":        {alone: "bfiorv", operands: 1},
	"taskset":     {alone: "ac", operands: 1},
	"sudo":        {alone: "nHEkSb", valued: "ugpC", path: true},
	"doas":        {alone: "n", valued: "uC", path: true},
}

// strip returns the command that follows the wrapper's own words, or the text
// of it. Both are empty where they cannot be told.
func (w wrapper) strip(words []shellWord) ([]shellWord, string) {
	operands := w.operands
	for len(words) > 0 {
		word := words[0]
		switch {
		case !word.plain && (operands == 0 || strings.HasPrefix(word.text, "-")):
			return nil, ""
		case word.text == "--":
			words = words[1:]
			if operands >= len(words) {
				return nil, ""
			}
			return words[operands:], ""
		case w.command && word.text == "-c" && operands < w.operands:
			if len(words) > 1 && words[1].plain {
				return nil, words[1].text
			}
			return nil, ""
		case strings.HasPrefix(word.text, "--"):
			if !strings.Contains(word.text, "=") && !longAlone[word.text] {
				return nil, ""
			}
		case strings.HasPrefix(word.text, "-") && len(word.text) > 1:
			next, ok := w.short(word.text[1:])
			if !ok {
				return nil, ""
			}
			if next {
				words = words[min(1, len(words)):]
			}
		case operands > 0:
			operands--
		default:
			return words, ""
		}
		words = words[min(1, len(words)):]
	}
	return nil, ""
}

// longAlone are long options of wrappers without a value.
var longAlone = set("--nonblock", "--nb", "--exclusive", "--shared", "--close", "--no-fork", "--foreground", "--preserve-status", "--verbose",
	"--fork", "--wait", "--batch", "--idle", "--other", "--portability")

// short reads a word of short options, and whether the next word is a value.
func (w wrapper) short(letters string) (next, ok bool) {
	for i := range len(letters) {
		switch c := letters[i]; {
		case strings.IndexByte(w.alone, c) >= 0:
		case strings.IndexByte(w.valued, c) >= 0:
			return i == len(letters)-1, true
		default:
			return false, false
		}
	}
	return false, true
}
