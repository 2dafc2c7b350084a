package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// codeMay is why a statement is refused whose signers may sign others.
const codeMay = policyCode + "may"

// mayWords is what a key may be for: each kind of order by its own name, and every
// other kind of statement.
var mayWords = []string{
	string(fleet.OrderRun), string(fleet.OrderCancel), string(fleet.OrderStart), string(fleet.OrderStop), string(fleet.OrderRestart), string(fleet.OrderReset),
	string(seal.KindTask), string(seal.KindEvent), string(seal.KindCalendar), string(seal.KindAdopt), string(seal.KindRelease), string(seal.KindNode),
}

func mayWord(word string) string {
	if !slices.Contains(mayWords, word) {
		return "want " + strings.Join(mayWords, ", ")
	}
	return ""
}

// may reports whether the key counts for a statement of that word.
func (k *Key) may(word string) bool { return k.May == nil || slices.Contains(k.May, word) }

// wordOf is what a key must be for to sign the statement.
func wordOf(s *seal.Statement) string {
	if s.Kind == seal.KindOrder {
		return string(s.Order.Kind)
	}
	return string(s.Kind)
}

// word is what a key must be for to sign the statement about the task as it is
// here: an order to run a command that is kept up starts it, and to cancel its run
// is to start it anew.
func (h *hearing) word() string {
	word := wordOf(h.sealed.statement)
	if h.sealed.statement.Kind != seal.KindOrder || h.waits == nil || !h.waits.Supervised() {
		return word
	}
	switch fleet.OrderKind(word) {
	case fleet.OrderRun:
		return string(fleet.OrderStart)
	case fleet.OrderCancel:
		return string(fleet.OrderRestart)
	}
	return word
}

// checkMay leaves of the signers those that are for what the statement does.
func (h *hearing) checkMay() *objection {
	word := h.word()
	var others []string
	line := 0
	h.signers = slices.DeleteFunc(slices.Clone(h.signers), func(k *Key) bool {
		if k.may(word) {
			return false
		}
		line = k.line
		others = append(others, fmt.Sprintf("%s may %s", k, strings.Join(k.May, ", ")))
		return true
	})
	if len(h.signers) >= h.gate.policy.Threshold {
		return nil
	}
	return &objection{codeMay, fmt.Sprintf("%d of %d needed signatures are by keys that may %q here: %s", len(h.signers), h.gate.policy.Threshold, word, strings.Join(others, "; ")), line}
}
