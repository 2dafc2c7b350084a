package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fill gives every exported field below a value another one, so that one which is
// not carried, or is mixed up with its neighbour, shows.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(*n, *n).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	case reflect.String:
		v.SetString(string(rune('a'+*n%26)) + "\x00 text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(-*n)
	default:
		v.SetUint(uint64(*n))
	}
}

var unseen = cmpopts.IgnoreUnexported(launch{})

func TestTheWireCarriesEveryField(t *testing.T) {
	var n int64
	var sent order
	fill(reflect.ValueOf(&sent).Elem(), &n)
	var told notice
	fill(reflect.ValueOf(&told).Elem(), &n)
	text := encodeWire(encodeWire(encodeWire(nil, sent.fields), (&order{}).fields), told.fields)
	from := bufio.NewReader(bytes.NewReader(text))
	var got, empty order
	var heard notice
	for _, fields := range []func(*wire){got.fields, empty.fields, heard.fields} {
		if err := decodeWire(from, fields); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(sent, got, unseen); diff != "" {
		t.Error("order:", diff)
	}
	if diff := cmp.Diff(order{}, empty, unseen); diff != "" {
		t.Error("nothing:", diff)
	}
	if diff := cmp.Diff(told, heard); diff != "" {
		t.Error("notice:", diff)
	}
}

func FuzzWire(f *testing.F) {
	var n int64
	var sent order
	fill(reflect.ValueOf(&sent).Elem(), &n)
	f.Add(encodeWire(nil, sent.fields))
	f.Add(encodeWire(nil, (&order{Forget: "x"}).fields))
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) >= 4 && bytes.Compare(text[2:4], []byte{16, 0}) > 0 {
			return // it says that it is long, and what is not there is not made room for in a test
		}
		var one, again order
		if decodeWire(bufio.NewReader(bytes.NewReader(text)), one.fields) != nil {
			return
		}
		if err := decodeWire(bufio.NewReader(bytes.NewReader(encodeWire(nil, one.fields))), again.fields); err != nil || !cmp.Equal(one, again, unseen) {
			t.Errorf("%+v became %+v, %v", one, again, err)
		}
	})
}

// TestAStatusIsWrittenAsJSON compares what is written by hand with what
// encoding/json makes of it.
func TestAStatusIsWrittenAsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(0, 1<<40))
		instant := func(name string) time.Time {
			switch rapid.IntRange(0, 3).Draw(t, name+" is") {
			case 0:
				return time.Time{}
			case 1:
				return time.Unix(number.Draw(t, name), 0)
			default:
				return time.Unix(number.Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, name)).UTC()
			}
		}
		text := rapid.OneOf(rapid.StringMatching(`[a-z0-9-]{0,36}`), rapid.String())
		s := status{
			Run: fleet.RunID(text.Draw(t, "run")), Boot: text.Draw(t, "boot"), PID: int(number.Draw(t, "pid")), Start: uint64(number.Draw(t, "start")),
			Started: instant("started"), Ended: instant("ended"), Wait: syscall.WaitStatus(number.Draw(t, "wait")), TimedOut: rapid.IntRange(0, 9).Draw(t, "timed out") == 0,
			Used: fleet.Used{CPU: fleet.Duration(number.Draw(t, "cpu")), Memory: fleet.Bytes(number.Draw(t, "memory")), Read: fleet.Bytes(number.Draw(t, "read")), Written: fleet.Bytes(number.Draw(t, "written"))},
		}
		want, err := json.Marshal(&s)
		got, err2 := s.json()
		if string(got) != string(want) || (err == nil) != (err2 == nil) {
			t.Fatalf("%s %v, want %s %v", got, err2, want, err)
		}
	})
}
