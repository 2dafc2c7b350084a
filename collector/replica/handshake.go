package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// hello begins every connection between collectors: the caller sends one, the
// one called answers with its own, and with the reason when it refuses.
type hello struct {
	Version int    `cbor:"1,keyasint"`           // of what follows the handshake
	Cluster string `cbor:"2,keyasint,omitempty"` // the cluster's id; empty: not known yet
	Genesis string `cbor:"3,keyasint,omitempty"` // of a member that was bootstrapped: how its cluster's id begins
	From    string `cbor:"4,keyasint"`           // the sender's member id
	To      string `cbor:"5,keyasint,omitempty"` // the member that is meant; empty: whoever answers
	Asks    bool   `cbor:"6,keyasint,omitempty"` // wants a report, not raft
	Refusal string `cbor:"7,keyasint,omitempty"` // of an answer: why the caller is refused
	Report  report `cbor:"8,keyasint,omitempty"` // of an answer to one who asks
}

// report is how far a member has come, in its own words.
type report struct {
	Applied uint64 `cbor:"1,keyasint,omitempty"`
	Term    uint64 `cbor:"2,keyasint,omitempty"`
}

const (
	streamVersion = 1
	streamMagic   = "fcr1"
	helloMax      = 4 << 10
)

// sameCluster reports whether two members belong together. An id begins with
// the genesis of the members it was bootstrapped with, so one that has not
// heard of the id yet recognises it. One that knows neither is unborn and
// belongs to whoever calls it first; it never calls by itself.
func sameCluster(caller, called hello) bool {
	switch {
	case called.Cluster == "" && called.Genesis == "":
		return caller.Cluster != "" || caller.Genesis != ""
	case caller.Cluster != "" && called.Cluster != "":
		return caller.Cluster == called.Cluster
	case caller.Cluster != "":
		return strings.HasPrefix(caller.Cluster, called.Genesis)
	case caller.Genesis == "":
		return false
	case called.Cluster != "":
		return strings.HasPrefix(called.Cluster, caller.Genesis)
	}
	return caller.Genesis == called.Genesis
}

// judge says why a connection from caller to called must not be, or nil.
func judge(caller, called hello) error {
	switch {
	case caller.Version != called.Version:
		return fmt.Errorf("the raft stream has version %d at %s and %d at %s", caller.Version, caller.From, called.Version, called.From)
	case caller.To != "" && caller.To != called.From:
		return fmt.Errorf("collector %s was meant, %s answered: two have swapped their addresses, or an id was changed", caller.To, called.From)
	case caller.From == called.From:
		return fmt.Errorf("both are called %s: a data directory was copied, or an id is used twice", caller.From)
	case !sameCluster(caller, called):
		return fmt.Errorf("collector %s belongs to %s, collector %s to %s", caller.From, clusterOf(caller), called.From, clusterOf(called))
	}
	return nil
}

func clusterOf(h hello) string {
	switch {
	case h.Cluster != "":
		return "cluster " + h.Cluster
	case h.Genesis != "":
		return "a new cluster " + h.Genesis + "…"
	}
	return "no cluster"
}

// call is the caller's half of the handshake.
func call(conn io.ReadWriter, mine hello) (report, error) {
	if err := writeHello(conn, mine); err != nil {
		return report{}, err
	}
	theirs, err := readHello(conn)
	if err != nil {
		return report{}, err
	}
	if theirs.Refusal != "" {
		return report{}, &fleet.Error{Kind: fleet.Conflict, Code: "peer_refused", Message: theirs.Refusal}
	}
	if err := judge(mine, theirs); err != nil {
		return report{}, &fleet.Error{Kind: fleet.Conflict, Code: "peer_refused", Err: err}
	}
	return theirs.Report, nil
}

// answer is the other half. It returns what the caller said.
func answer(conn io.ReadWriter, local local) (hello, error) {
	theirs, err := readHello(conn)
	if err != nil {
		return hello{}, err
	}
	mine := local.hello()
	refused := local.called(theirs, mine)
	if refused != nil {
		mine.Refusal = refused.Error()
	} else if theirs.Asks {
		mine.Report = local.report()
	}
	return theirs, errors.Join(refused, writeHello(conn, mine))
}

func writeHello(w io.Writer, h hello) error {
	body, err := cbor.Marshal(h)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	packet := append([]byte(streamMagic), 0, 0)
	binary.BigEndian.PutUint16(packet[len(streamMagic):], uint16(len(body)))
	if _, err := w.Write(append(packet, body...)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return nil
}

func readHello(r io.Reader) (hello, error) {
	head := make([]byte, len(streamMagic)+2)
	if _, err := io.ReadFull(r, head); err != nil {
		return hello{}, fmt.Errorf("handshake: %w", err)
	}
	size := binary.BigEndian.Uint16(head[len(streamMagic):])
	if string(head[:len(streamMagic)]) != streamMagic || size > helloMax {
		return hello{}, errors.New("handshake: the other side does not speak fleetcron's raft stream")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return hello{}, fmt.Errorf("handshake: %w", err)
	}
	var h hello
	if err := cbor.Unmarshal(body, &h); err != nil {
		return hello{}, fmt.Errorf("handshake: %w", err)
	}
	return h, nil
}
