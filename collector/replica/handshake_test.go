package replica

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

func TestJudge(t *testing.T) {
	const x, y = "b0000000000000001", "r0000000000000002"
	for name, test := range map[string]struct {
		caller, called hello
		want           string // part of the reason; empty: welcome
	}{
		"one group":           {hello{Lineage: x}, hello{Lineage: x}, ""},
		"two groups":          {hello{Lineage: x}, hello{Lineage: y}, "c1 belongs to group " + x + ", collector c2 to group " + y},
		"an unborn is called": {hello{Lineage: x}, hello{}, ""},
		"an unborn calls":     {hello{}, hello{Lineage: x}, "c1 belongs to no group"},
		"two unborn ones":     {hello{}, hello{}, "belongs to no group"},
		"a newer stream":      {hello{Version: 3, Lineage: x}, hello{Lineage: x}, "version 3 at c1 and 2 at c2"},
		"another was meant":   {hello{To: "c3", Lineage: x}, hello{Lineage: x}, "c3 was meant, c2 answered"},
		"itself":              {hello{From: "c2", Lineage: x}, hello{Lineage: x}, "both are called c2"},
	} {
		t.Run(name, func(t *testing.T) {
			caller, called := test.caller, test.called
			caller.Version, called.Version = max(2, caller.Version), 2
			if called.From = "c2"; caller.From == "" {
				caller.From = "c1"
			}
			err := judge(caller, called)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzReadHello(f *testing.F) {
	var good bytes.Buffer
	if err := writeHello(&good, hello{Version: 2, Lineage: "x", From: "c1", To: "c2", Asks: true, About: "c3", Report: report{Applied: 7, Member: true}}); err != nil {
		f.Fatal(err)
	}
	for _, packet := range []string{good.String(), "", "fcr2", "fcr2\x00\x00", "fcr2\xff\xff", "fcr2\x00\x01\xa0", "GET / HTTP/1.1\r\n\r\n"} {
		f.Add([]byte(packet))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		h, err := readHello(bytes.NewReader(packet))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeHello(&again, h); err != nil {
			t.Fatal(err)
		}
		back, err := readHello(&again)
		if diff := cmp.Diff(h, back); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
}

func TestRaftLogIsOurs(t *testing.T) {
	var text bytes.Buffer
	l := newRaftLog(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn})))
	l.Info("entering leader state")
	l.Named("net").With("peer", "c2").Warn("odd", "servers", hclog.Fmt("%d of %d", 2, 3))
	l.Error("bad", "error", "x")
	got := text.String()
	for _, part := range []string{`level=WARN msg=odd peer=c2 component=raft.net servers="2 of 3"`, `level=ERROR msg=bad component=raft error=x`} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is not in:\n%s", part, got)
		}
	}
	if strings.Contains(got, "leader state") || l.IsInfo() || !l.IsWarn() {
		t.Errorf("information is not for debugging:\n%s", got)
	}
}
