package mask

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const canary = "c4n4ryB1rd"

const privateKey = "-----BEGIN RSA PRIVATE KEY-----\nMIIEc4n4ryB1rdAAAA\nBBBBc4n4ryB1rd==\n-----END RSA PRIVATE KEY-----\n"

// spoken is what programs say, with secrets in it.
const spoken = "starting up\n" +
	"connect with --password c4n4ryB1rd1 failed\n" +
	"GET https://ann:c4n4ryB1rd2@example.org/x 200\n" +
	"token ghp_0123456789c4n4ryB1rd0123456789 refused\n" +
	"PGPASSWORD=c4n4ryB1rd3 pg_dump shop\r\n" +
	"+ mysqldump -u root -pc4n4ryB1rd4 shop\n" +
	"Authorization: Bearer c4n4ryB1rd5\n" +
	`{"user":"ann","password":"c4n4ryB1rd6"}` + "\n" +
	privateKey +
	"copied 17 files, 50 %\r 60 %\r done\n" +
	"api_key = c4n4ryB1rd7\n" +
	"the end, without an end of line --secret c4n4ryB1rd8"

func TestPiecesMakeNoDifference(t *testing.T) {
	m := New(make([]byte, KeySize))
	whole := streamed(t, m, spoken, func(int) int { return len(spoken) })
	if strings.Contains(whole, canary) {
		t.Fatalf("a secret passed: %s", whole)
	}
	for _, plain := range []string{"starting up\n", "failed\n", "copied 17 files, 50 %\r 60 %\r done\n", "-----END RSA PRIVATE KEY-----\n", "the end, without", "@example.org/x 200\n"} {
		if !strings.Contains(whole, plain) {
			t.Errorf("%q is missing in\n%s", plain, whole)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []func(int) int{func(int) int { return 1 }, func(int) int { return 2 }, func(int) int { return 7 }}
	for range 200 {
		pieces = append(pieces, func(int) int { return 1 + random.IntN(40) })
	}
	for at := range len(spoken) { // two pieces, cut everywhere
		pieces = append(pieces, func(done int) int {
			if done == 0 && at > 0 {
				return at
			}
			return len(spoken)
		})
	}
	for i, piece := range pieces {
		if diff := cmp.Diff(whole, streamed(t, m, spoken, piece)); diff != "" {
			t.Fatalf("cut in way %d: %s", i, diff)
		}
	}
}

// streamed passes a text through in pieces.
func streamed(t testing.TB, m *Masker, text string, piece func(done int) int) string {
	t.Helper()
	var out strings.Builder
	s := m.Stream(&out)
	for done := 0; done < len(text); {
		n := min(piece(done), len(text)-done)
		if wrote, err := s.Write([]byte(text[done : done+n])); wrote != n || err != nil {
			t.Fatalf("%d of %d, %v", wrote, n, err)
		}
		done += n
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Somebody watches: what surely is no secret does not wait for the line's end.
func TestOpenLinesAreTold(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"....", "...."},
		{"50 %", "50 %"},
		{"copying files", "copying "},
		{"Continue? [y/N] ", "Continue? [y/N] "},
		{"\r 70 % of it", "\r 70 % of "},
		{"one\ntwo three", "one\ntwo "},
		{"the password is x ", ""},
		{"mysqldump -u root ", ""},
		{"ghp_0123456789abcdef", ""},
		{"https://ann:", ""},
	} {
		var out strings.Builder
		s := New(make([]byte, KeySize)).Stream(&out)
		if _, err := io.WriteString(s, test.text); err != nil {
			t.Fatal(err)
		}
		if out.String() != test.want {
			t.Errorf("of %q was told %q, want %q", test.text, out.String(), test.want)
		}
	}
}

func TestLinesWithoutAnEndAreBounded(t *testing.T) {
	m := New(make([]byte, KeySize))
	for name, unit := range map[string]string{
		"one word": "x", "words": "word ", "zeros": "\x00", "binary": "\xff\xfe\x80\x00 a", "words of secrets": "--password=c4n4ryB1rd9 ", "a sentence": "all is well here and nothing happens at all ",
	} {
		for _, size := range []int{4096, 1 << 20} {
			text := strings.Repeat(unit, 4*longestLine/len(unit))
			var out bytes.Buffer
			s := m.Stream(&out)
			for done := 0; done < len(text); done += size {
				if _, err := io.WriteString(s, text[done:min(done+size, len(text))]); err != nil {
					t.Fatal(err)
				}
				if kept := cap(s.line); kept > 4*longestLine {
					t.Fatalf("%s: %d bytes are kept", name, kept)
				}
			}
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(unit, "password") && out.String() != text {
				t.Errorf("%s: %d bytes became %d others", name, len(text), out.Len())
			}
			if strings.Contains(out.String(), canary) {
				t.Errorf("%s: a secret passed", name)
			}
		}
	}
}

func TestAKeyWithoutAnEndHidesNotAll(t *testing.T) {
	text := "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("c4n4ryB1rd\n", longestKey/11+1) + "and then\n"
	got := streamed(t, New(make([]byte, KeySize)), text, func(int) int { return 1000 })
	if !strings.HasSuffix(got, ">\nand then\n") || strings.Contains(got, canary) {
		t.Errorf("%.200q", got)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(spoken, uint64(1))
	f.Add("a --password x", uint64(2))
	m := New(make([]byte, KeySize))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		random := rand.New(rand.NewPCG(seed, seed))
		got := streamed(t, m, text, func(int) int { return 1 + random.IntN(9) })
		if innocent(text, false) && got != text {
			t.Errorf("%q became %q", text, got)
		}
		if _, any := m.Text(text); !any && !strings.Contains(text, keyBegin) && strings.Count(text, "\n") == 0 && len(text) < longestLine && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	var log strings.Builder
	for n := 0; log.Len() < 1<<20; n++ {
		fmt.Fprintf(&log, "2026-11-21T02:00:00Z worker-%d INFO copied /srv/data/%08x/part.parquet in %d ms\n", n%8, n*7919, n%5000)
	}
	random := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	for name, text := range map[string]string{"log": log.String(), "binary": string(random), "secrets": strings.Repeat(spoken, 1000)} {
		b.Run(name, func(b *testing.B) {
			s := New(make([]byte, KeySize)).Stream(io.Discard)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for at := 0; at < len(text); at += 32 << 10 {
					_, _ = io.WriteString(s, text[at:min(len(text), at+32<<10)])
				}
			}
		})
	}
}
