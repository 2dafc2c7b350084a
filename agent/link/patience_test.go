package link

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOutputThatNobodyReadsIsBrokenOff: a part that asks and does not read keeps
// no place of the one that answers; one that waits for what comes late does.
func TestOutputThatNobodyReadsIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := converse(ours, bufio.NewReader(ours))
		defer theirs.Close()
		defer c.Close()

		late, writer := io.Pipe()
		read := make(chan frame, 2)
		go func() {
			for range cap(read) {
				f, err := readFrame(theirs)
				if err != nil {
					t.Error(err)
				}
				read <- f
			}
		}()
		go func() {
			time.Sleep(10 * readerPatience)
			_, _ = writer.Write([]byte("late")) // or nobody hears it, which the test sees
			writer.Close()
		}()
		if err := c.sendOutput(late); err != nil {
			t.Errorf("output that came late: %v", err)
		}
		if f := <-read; string(f.payload) != "late" {
			t.Errorf("%q", f.payload)
		}

		began := time.Now()
		if err := c.sendOutput(strings.NewReader("unread")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("output that is not read: %v", err)
		}
		if waited := time.Since(began); waited != readerPatience {
			t.Errorf("broken off after %v, want %v", waited, readerPatience)
		}
	})
}
