package ledger

import (
	"fmt"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/chain"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The decisions of an audit entry.
const (
	AuditDone    = "done"
	AuditRefused = "refused"
)

// Audited carries a command out for somebody and writes down that it did, or
// why not, in the same entry: a change without its link of the chain cannot be.
// Its result is that of the command. A request that Once answers again is no
// second change and gets no second link.
//
// What a person asks of a namespace that is not theirs is refused as if there
// were no such thing.
type Audited struct {
	At      time.Time
	By      fleet.Principal
	Action  string  // "task.put"; of 1–200 bytes
	Object  string  // "data/backup"
	Why     string  // in the author's words
	Digest  string  // SHA-256 of the sealed payload, hex; empty: nothing sealed
	Command Command // any but Audited; Once within, never around
}

// auditedRow is an Audited in an entry.
type auditedRow struct {
	At     time.Time       `json:"at"`
	By     fleet.Principal `json:"by"`
	Action string          `json:"action"`
	Object string          `json:"object,omitempty"`
	Why    string          `json:"why,omitempty"`
	Digest string          `json:"digest,omitempty"`
	Entry  []byte          `json:"entry"`
}

// numberOfAudited keeps decoding from going deeper than one level.
const numberOfAudited = 28

// MarshalCBOR writes the form that UnmarshalCBOR reads.
func (cmd Audited) MarshalCBOR() ([]byte, error) {
	if _, nested := cmd.Command.(*Audited); nested {
		return nil, fmt.Errorf("a command is audited once")
	}
	entry, err := Encode(cmd.Command)
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(auditedRow{cmd.At, cmd.By, cmd.Action, cmd.Object, cmd.Why, cmd.Digest, entry})
}

// UnmarshalCBOR reads the body of an entry.
func (cmd *Audited) UnmarshalCBOR(data []byte) error {
	var row auditedRow
	if err := decoding.Unmarshal(data, &row); err != nil {
		return err
	}
	if len(row.Entry) > 0 && row.Entry[0] == numberOfAudited {
		return fmt.Errorf("a command is audited once")
	}
	command, err := Decode(row.Entry)
	if err != nil {
		return err
	}
	*cmd = Audited{row.At, row.By, row.Action, row.Object, row.Why, row.Digest, command}
	return nil
}

func (cmd *Audited) apply(c *change) any {
	if !keyable(cmd.Action) {
		return fleet.Invalidf("action", cmd.Action, "want 1–%d bytes", maxKeyPart)
	}
	inner, repeated := cmd.Command, false
	if once, wrapped := inner.(*Once); wrapped {
		inner, repeated = once.Command, once.answered(c)
	}
	if repeated {
		return cmd.Command.apply(c)
	}
	c.auditor = cmd
	defer func() { c.auditor = nil }()
	link := fleet.AuditEntry{At: cmd.At, By: cmd.By, Action: cmd.Action, Object: cmd.Object, Namespace: namespaceOf(c, inner), Decision: AuditDone, Why: cmd.Why, Digest: cmd.Digest}
	var result any
	if refusal := forbidden(c, &cmd.By, inner); refusal != nil {
		result = refusal
	} else {
		result = cmd.Command.apply(c)
	}
	if refusal, refused := IsRefusal(result); refused {
		link.Decision, link.Code, link.Why = AuditRefused, codeOf(refusal), refusal.Error()
	}
	c.link(link)
	return result
}

func codeOf(refusal *fleet.Error) string {
	if refusal.Code != "" {
		return refusal.Code
	}
	return refusal.Kind.String()
}

// RecordRefusals writes links of the chain that no command belongs to: what was
// refused before it became a command, and what changes nothing here, such as a
// login. Of each entry Seq, Before and Hash are set here.
type RecordRefusals struct {
	Entries []fleet.AuditEntry `json:"entries"` // 1–1000
}

// maxRefusals is how many links one command writes.
const maxRefusals = 1000

func (cmd *RecordRefusals) apply(c *change) any {
	if n := len(cmd.Entries); n == 0 || n > maxRefusals {
		return fleet.Invalidf("entries", strconv.Itoa(n), "want 1–%d", maxRefusals)
	}
	for i := range cmd.Entries {
		if d := cmd.Entries[i].Decision; d != AuditDone && d != AuditRefused {
			return fleet.Invalidf("decision", d, "want done or refused")
		}
	}
	for _, entry := range cmd.Entries {
		c.link(entry)
	}
	return nil
}

// headKey is where the last link stands once more, so that a chain whose end
// was cut off is noticed.
var headKey = []byte("audit")

// link appends to the chain.
func (c *change) link(entry fleet.AuditEntry) {
	var head *fleet.AuditEntry
	if last, found := stored[fleet.AuditEntry](c, inMeta, headKey); found {
		head = &last
	}
	linked := chain.Append(head, entry)
	row := encode(linked)
	c.put(inAudit, bigEndian(linked.Seq), row)
	c.put(inMeta, headKey, row)
	c.notify(Audit)
}
