package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
)

// TestContaining looks across the borders of texts and of shards.
func TestContaining(t *testing.T) {
	words := newTexts()
	long := strings.Repeat("lorem ipsum ", 30)
	for n := range 10_000 {
		words.use(fmt.Sprintf("%d %sEND-%d", n, long, n%7))
	}
	if len(words.packed) < 3*shard {
		t.Fatalf("%d bytes are too few for shards", len(words.packed))
	}
	for _, needle := range []string{"0 lorem", "end-3", "999", "ipsum", "end-1 ", "absent", ""} {
		found := words.containing(needle)
		for number, text := range words.texts {
			if want := strings.Contains(fold(text), needle); found.has(uint32(number)) != want {
				t.Fatalf("%q in text %d: %v, want %v", needle, number, !want, want)
			}
		}
	}
}

func FuzzContaining(f *testing.F) {
	f.Add("backup", "/usr/bin/backup --all\n/bin/true", "BACK")
	f.Add("a", "aaaa\n\nÄ\n", "aa")
	f.Add("", "", "\x00")
	f.Fuzz(func(t *testing.T, first, lines, needle string) {
		words := newTexts()
		all := append([]string{first}, strings.Split(lines, "\n")...)
		all = slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, "\x00") })
		for _, text := range all {
			words.use(text)
		}
		needle = fold(needle)
		found := words.containing(needle)
		for _, text := range all {
			number := words.numbers[text]
			if want := strings.Contains(fold(text), needle); found.has(number) != want {
				t.Errorf("%q in %q: %v, want %v", needle, text, !want, want)
			}
		}
	})
}

// FuzzQueryText asks the index, and every job by itself: both must say the same.
func FuzzQueryText(f *testing.F) {
	for _, text := range []string{
		`user:root backup`, `schedule:"30 2`, `kind:x`, `host:`, "a\x00b user:\"\"", `-user:root "pg_dump" -"--all"`, `owner:none package:none`, `verdict:file_mode -kind:timer`, "0",
	} {
		f.Add(text)
	}
	source := smallFleet()
	index := New(source)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := index.Query(everywhere, api.JobQuery{Text: text})
		holds, refused := index.Matcher(everywhere, api.JobQuery{Text: text})
		if (err == nil) != (refused == nil) {
			t.Fatalf("%q: %v and %v", text, err, refused)
		}
		if err != nil {
			return
		}
		n := 0
		for id, jobs := range source.jobs {
			for i := range jobs {
				if holds(source.hosts[id], &jobs[i]) {
					n++
				}
			}
		}
		if n != list.Total {
			t.Errorf("%q: %d jobs one by one, %d in the index", text, n, list.Total)
		}
	})
}

func FuzzCursors(f *testing.F) {
	f.Add(cursor{"web", "01", "/etc/crontab", 3, "ab"}.String())
	f.Add(rank{hosts: 3, jobs: 4, print: "ab c"}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseCursor(s); err == nil && s != "" {
			if again, err := parseCursor(c.String()); err != nil || again != c {
				t.Errorf("%q: %+v then %+v, %v", s, c, again, err)
			}
		}
		if r, err := parseRank(s); err == nil && s != "" {
			if again, err := parseRank(r.String()); err != nil || again != r {
				t.Errorf("%q: %+v then %+v, %v", s, r, again, err)
			}
		}
	})
}
