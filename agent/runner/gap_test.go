package runner

import "testing"

// TestTheGapBeforeAStartStaysSaid: why nothing ran before an instance of a
// supervised task is told with its end as well, behind why that came.
func TestTheGapBeforeAStartStaysSaid(t *testing.T) {
	const gap = "started again 4.1s after exit 1; restart 3"
	for want, cancel := range map[string]bool{gap: false, "enough; " + gap: true} {
		b := newBench(t)
		path, line := fifo(t)
		spec := b.spec(sh(`echo up > $F; [ $STAY = no ] || sleep 1000`))
		spec.Execute.Env = map[string]string{"F": path, "STAY": map[bool]string{false: "no", true: "yes"}[cancel]}
		spec.Whole, spec.Run.Detail = true, gap
		b.begin(spec)
		line()
		if cancel {
			b.Cancel(spec.Run.ID, "enough")
		}
		if got := b.wait(); got.Detail != want {
			t.Errorf("%q, want %q", got.Detail, want)
		}
	}
}
