package web

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// clip cuts text after n bytes, never within a character, and marks the cut.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// number writes 12345 as 12,345.
func number(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// count writes a number with its noun: "1 host", "3 hosts".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, is := strings.CutSuffix(noun, "y"); is {
		return number(n) + " " + stem + "ies"
	}
	return number(n) + " " + noun + "s"
}

// size writes a number of bytes in the unit a person would use.
func size(n int64) string {
	switch {
	case n < 1000:
		return count(int(n), "byte")
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// sentence makes an error's message one: a capital in front, a stop behind.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, width := utf8.DecodeRuneInString(text)
	text = strings.ToUpper(string(first)) + text[width:]
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "…") {
		return text
	}
	return text + "."
}

func hostURL(id fleet.HostID) string { return "/hosts/" + url.PathEscape(string(id)) }

// jobURL returns the address of one found job.
func jobURL(host fleet.HostID, job fleet.JobID) string {
	return hostURL(host) + "/jobs/" + url.PathEscape(string(job))
}

func taskURL(id fleet.TaskID) string {
	return "/tasks/" + url.PathEscape(id.Namespace()) + "/" + url.PathEscape(id.Name())
}

func runURL(id fleet.RunID) string { return "/runs/" + url.PathEscape(string(id)) }
