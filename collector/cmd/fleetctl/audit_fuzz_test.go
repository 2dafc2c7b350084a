package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/chain"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// FuzzAuditVerify gives audit verify -f any file. It must come to an end, and
// call nothing whole in which an entry is not what the chain says.
func FuzzAuditVerify(f *testing.F) {
	var text bytes.Buffer
	var head *fleet.AuditEntry
	for i := range 3 {
		entry := chain.Append(head, fleet.AuditEntry{At: noon.Add(time.Duration(i) * time.Minute), By: fleet.Principal{Kind: fleet.PersonKind, Name: "anna"}, Action: "task.put", Object: "task data/backup", Decision: "done"})
		head = &entry
		if err := json.NewEncoder(&text).Encode(entry); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(text.Bytes())
	f.Add(bytes.Replace(text.Bytes(), []byte("anna"), []byte("bob"), 1))
	f.Add(text.Bytes()[:text.Len()/2])
	f.Add([]byte(`{"seq":18446744073709551615}` + "\n" + `{"seq":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var stdout bytes.Buffer
		p := &program{stdin: bytes.NewReader(text), stdout: &stdout}
		if err := p.verifyFile("-"); err != nil || !strings.Contains(stdout.String(), "is whole") {
			return
		}
		var before *fleet.AuditEntry
		for entry, err := range exported(bytes.NewReader(text)) {
			if err != nil {
				t.Fatalf("whole, and %v", err)
			}
			if before != nil && (entry.Seq != before.Seq+1 || !bytes.Equal(entry.Before, before.Hash)) || !bytes.Equal(entry.Hash, chain.Hash(entry.Before, entry)) {
				t.Fatalf("entry %d is not what the chain says, and it is called whole: %s", entry.Seq, stdout.String())
			}
			before = &entry
		}
	})
}
