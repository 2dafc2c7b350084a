package compact

import (
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// instants are in nanoseconds since 1970, in UTC, within what is plausible.
var instants = rapid.Custom(func(t *rapid.T) time.Time {
	return time.Unix(rapid.Int64Range(31_536_000, 7_258_118_399).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")).UTC()
})

// params are values of parameters, or none.
var params = rapid.Custom(func(t *rapid.T) fleet.Params {
	values := rapid.MapOfN(rapid.StringN(1, 8, 20), rapid.String(), 0, 3).Draw(t, "values")
	if len(values) == 0 {
		return nil
	}
	return values
})

func TestARunComesBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 8, 20)
		run := fleet.Run{
			ID: fleet.RunID(text.Draw(t, "id")), Task: fleet.TaskID(text.Draw(t, "task")), Generation: rapid.Uint64().Draw(t, "generation"),
			Host: fleet.HostID(text.Draw(t, "host")), Due: instants.Draw(t, "due"), Until: rapid.Ptr(instants, true).Draw(t, "until"),
			Count: rapid.IntRange(0, 1<<30).Draw(t, "count"), Order: fleet.OrderID(text.Draw(t, "order")), Parent: fleet.RunID(text.Draw(t, "parent")), Attempt: rapid.IntRange(0, 9).Draw(t, "attempt"),
			State: fleet.RunRan, Reason: fleet.Reason(text.Draw(t, "reason")), Detail: text.Draw(t, "detail"),
			Started: rapid.Ptr(instants, true).Draw(t, "started"), Ended: rapid.Ptr(instants, true).Draw(t, "ended"),
			PID: rapid.IntRange(0, 1<<22).Draw(t, "pid"), Exit: rapid.Ptr(rapid.IntRange(0, 255), true).Draw(t, "exit"),
			Signal: text.Draw(t, "signal"), TimedOut: rapid.Bool().Draw(t, "timed out"), Cancelled: rapid.Bool().Draw(t, "cancelled"),
			Stdout: rapid.Int64().Draw(t, "stdout"), Stderr: rapid.Int64().Draw(t, "stderr"), Dropped: rapid.Int64().Draw(t, "dropped"), Tail: text.Draw(t, "tail"),
			Again: rapid.Ptr(instants, true).Draw(t, "again"), Params: params.Draw(t, "params"),
			Used: fleet.Used{
				CPU: fleet.Duration(rapid.Int64().Draw(t, "cpu")), Memory: fleet.Bytes(rapid.Int64().Draw(t, "memory")),
				Read: fleet.Bytes(rapid.Int64().Draw(t, "read")), Written: fleet.Bytes(rapid.Int64().Draw(t, "written")),
			},
		}
		encoded, err := cbor.Marshal(Of(&run))
		if err != nil {
			t.Fatal(err)
		}
		var row Run
		if err := cbor.Unmarshal(encoded, &row); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(run, row.Whole()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWhatCannotBelongToARunIsSeen(t *testing.T) {
	for _, year := range []int{1, 1969, 1970, 2201, 9999} {
		run := fleet.Run{Due: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)}
		whole := Of(&run)
		if due := whole.Whole().Due; Plausible(&due) {
			t.Errorf("the year %d came back as %s", year, due)
		}
	}
}
