package proof

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestHashesStayTheSame holds what is hashed and signed to what is in chains: it
// can never change.
func TestHashesStayTheSame(t *testing.T) {
	line, block := lineOf(1), chain(hostOne, chainOf, keyOf(1), 1)[0]
	for what, is := range map[string][2]string{
		"line":      {line.Hash().String(), "898c0e0201b5448109d72edd06d0837b7f098da88f05de878786b3e1b15c5e86"},
		"head":      {block.After.String(), "8e8f5550367dff8343e3e5b9582691bb59597fbbba3556a88b42958496693f98"},
		"signature": {fmt.Sprintf("%x", block.Signature[:16]), "d3d00646aabb942bec70ca4a698d36ff"},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %s, want %s", what, is[0], is[1])
		}
	}
}

func TestABlockComesBackWhole(t *testing.T) {
	for _, block := range both() {
		block.Block = *block.Within(func(id fleet.TaskID) bool { return id.Namespace() == "data" })
		back, err := Decode(block.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := back.Check(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(&block.Block, back); diff != "" {
			t.Fatal(diff)
		}
	}
}

// TestALineComesBackWhole takes lines of any runs through JSON and through the
// form that is kept.
func TestALineComesBackWhole(t *testing.T) {
	text := rapid.String()
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(31_536_000, 7_258_118_399).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "n")).In(time.FixedZone("x", 3600))
	})
	rapid.Check(t, func(t *rapid.T) {
		run := fleet.Run{
			ID: fleet.RunID(text.Draw(t, "id") + "\xff"), Task: fleet.TaskID(text.Draw(t, "task")), Generation: rapid.Uint64().Draw(t, "generation"), Due: at.Draw(t, "due"),
			Until: rapid.Ptr(at, true).Draw(t, "until"), Count: rapid.IntRange(0, 9).Draw(t, "count"), Attempt: rapid.IntRange(0, 3).Draw(t, "attempt"),
			Again: rapid.Ptr(at, true).Draw(t, "again"), Order: fleet.OrderID(text.Draw(t, "order")), State: fleet.RunRan, Reason: fleet.Reason(text.Draw(t, "reason")),
			Exit: rapid.Ptr(rapid.IntRange(-1, 255), true).Draw(t, "exit"), Signal: text.Draw(t, "signal"), TimedOut: rapid.Bool().Draw(t, "timed out"),
			Started: rapid.Ptr(at, true).Draw(t, "started"), Ended: rapid.Ptr(at, true).Draw(t, "ended"), Stdout: rapid.Int64().Draw(t, "stdout"),
		}
		line := LineOf(&run, nil)
		body, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		var back Line
		if err := json.Unmarshal(body, &back); err != nil {
			t.Fatal(err)
		}
		kept, err := decodeLine(line.encode())
		if err != nil {
			t.Fatal(err)
		}
		if back.Hash() != line.Hash() || kept.Hash() != line.Hash() || !line.Says(&run) {
			t.Fatalf("%s is another line than it was", body)
		}
		if run.Stdout++; line.Says(&run) {
			t.Fatal("the line says what it does not say")
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(both()[0].Encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := Decode(body)
		if err != nil || b.Check() != nil {
			return
		}
		again, err := Decode(b.Encode())
		if err != nil || again.Check() != nil || again.After != b.After {
			t.Fatal("a block does not come back")
		}
	})
}
