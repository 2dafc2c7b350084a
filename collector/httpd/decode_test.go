package httpd

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestDecoderTakesWhatItIsMadeFor(t *testing.T) {
	exit, started := 3, time.Date(2026, 3, 1, 2, 30, 1, 0, time.UTC)
	want := api.RunBatch{Journal: "j", Records: []api.RunRecord{{Sequence: 9, Run: fleet.Run{
		ID: "r", Task: "data/x", Host: "h", Due: started, Started: &started, State: fleet.RunRan, Exit: &exit, Tail: "ünïcode \"quoted\" \\ \n \u2028",
	}}}}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newDecoder[api.RunBatch]().decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecoderRefuses(t *testing.T) {
	decoder := newDecoder[api.RunBatch]()
	for body, want := range map[string]string{
		``:                                      "the body is empty",
		`nul`:                                   "not JSON",
		`{"journal":"a"}x`:                      "goes on after its end",
		`{"journal":"a"}{"journal":"b"}`:        "goes on after its end",
		`{"Journal":"a"}`:                       `Journal: is no field here, but "journal" is`,
		`{"journal":"\ud800"}`:                  "half of a character",
		`{"journal":"\udc00\ud800"}`:            "half of a character",
		`{"journal":"a","journal":"b"}`:         "journal: is given twice",
		`{"\u006aournal":"a","journal":"b"}`:    "journal: is given twice",
		`{"records":[{"run":{"ID":"x"}}]}`:      `records[0].run.ID: is no field here`,
		`{"records":[{"sequence":-1}]}`:         "records.sequence: want a number, got number -1",
		`{"records":[{"run":{"due":"later"}}]}`: `records[0].run.due "later"`,
		`{"records":{}}`:                        "records: want a list",
		`{"":1}`:                                `"": is no field here`,
		"{\"journal\":\n\"a\",\n  \"x\":1}":     "line 3, column 3: x",
		"\xff":                                  "not UTF-8",
	} {
		_, err := decoder.decode([]byte(body))
		if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

func TestDecoderWalksMapsForDuplicates(t *testing.T) {
	_, err := newDecoder[fleet.Applied]().decode([]byte(`{"generations":{"a/b":1,"a/b":2}}`))
	if err == nil || !strings.Contains(err.Error(), "generations.a/b: is given twice") {
		t.Errorf("err %v", err)
	}
	if _, err := newDecoder[fleet.Applied]().decode([]byte(`{"generations":{"a/b":1,"A/b":2}}`)); err != nil {
		t.Errorf("names of a map are free: %v", err)
	}
}

// FuzzDecoder holds the decoder to encoding/json: what it takes, encoding/json
// takes too and reads the same, also when it is strict.
func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{
		`{"journal":"a","records":[{"sequence":1,"run":{"id":"x","due":"2026-01-01T00:00:00Z","exit":0}}]}`,
		`{"journal":"\ud800","records":null}`, `{"journal":"\ud83d\ude00\\ud800"}`, `{"journal":"\uDC00"}`, `{"records":[{"run":{"until":null}}]}`, ` [] `, `{"a":{"b":[1,2,{"c":"}"}]}}`, "{\"journal\":\"\\\\\\\"\"}", `{"journal":1e9}`, strings.Repeat("[", 20),
	} {
		f.Add([]byte(seed))
	}
	decoder := newDecoder[api.RunBatch]()
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decoder.decode(body)
		if err != nil {
			if fleet.KindOf(err) != fleet.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		strict := json.NewDecoder(strings.NewReader(string(body)))
		strict.DisallowUnknownFields()
		var want api.RunBatch
		if err := strict.Decode(&want); err != nil {
			t.Fatalf("taken, but encoding/json says %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkDecodeRuns(b *testing.B) {
	batch := api.RunBatch{Journal: fleet.JournalID(strings.Repeat("a", 32))}
	exit, started := 0, time.Date(2026, 3, 1, 2, 30, 1, 5, time.UTC)
	for i := range 100 {
		batch.Records = append(batch.Records, api.RunRecord{Sequence: uint64(i + 1), Run: fleet.Run{
			ID: "01970000-0000-7000-8000-000000000000", Task: "data/backup", Generation: 1, Host: fleet.HostID(strings.Repeat("b", 32)),
			Due: started, Started: &started, Ended: &started, State: fleet.RunRan, Exit: &exit, PID: 4711, Stdout: 100,
		}})
	}
	body, err := json.Marshal(batch)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("strict", func(b *testing.B) {
		decoder := newDecoder[api.RunBatch]()
		for b.Loop() {
			if _, err := decoder.decode(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			var got api.RunBatch
			if err := json.Unmarshal(body, &got); err != nil {
				b.Fatal(err)
			}
		}
	})
}
