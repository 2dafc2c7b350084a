package replica

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// hello begins every connection between collectors: the caller sends one, the
// one called answers with its own, and with the reason when it refuses. Who
// speaks, and of which cluster, the certificates have said before.
type hello struct {
	Version int    `cbor:"1,keyasint"`           // of what follows the handshake
	Lineage string `cbor:"2,keyasint,omitempty"` // of the sender's group; empty: it has none yet
	From    string `cbor:"3,keyasint"`           // the sender's member id, the same as in its certificate
	To      string `cbor:"4,keyasint,omitempty"` // the member that is meant
	Asks    bool   `cbor:"5,keyasint,omitempty"` // wants a report, not raft
	About   string `cbor:"6,keyasint,omitempty"` // of one who asks: whether this one is a member
	Refusal string `cbor:"7,keyasint,omitempty"` // of an answer: why the caller is refused
	Code    string `cbor:"8,keyasint,omitempty"` // of the refusal
	Report  report `cbor:"9,keyasint,omitempty"` // of an answer to one who asks
}

// report is how far a member has come, in its own words.
type report struct {
	Applied uint64 `cbor:"1,keyasint,omitempty"`
	Term    uint64 `cbor:"2,keyasint,omitempty"`
	Member  bool   `cbor:"3,keyasint,omitempty"` // the one it was asked about belongs to the group
}

const (
	streamVersion = 2
	streamMagic   = "fcr2"
	helloMax      = 4 << 10
)

// Why a peer with a good certificate is refused.
const (
	codePeerUnknown = "raft_peer_unknown" // it is not in the configuration of the group
	codePeerRefused = "peer_refused"      // anything else
)

// codeOr returns the code of an error, or another one where it has none.
func codeOr(err error, other string) string {
	if coded, is := errors.AsType[*fleet.Error](err); is {
		return cmp.Or(coded.Code, other)
	}
	return other
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
	case caller.Lineage == "" || called.Lineage != "" && caller.Lineage != called.Lineage:
		return fleet.Errorf(fleet.Conflict, "collector %s belongs to %s, collector %s to %s", caller.From, groupOf(caller), called.From, groupOf(called)).
			WithCode(codePeerUnknown)
	}
	return nil
}

func groupOf(h hello) string {
	if h.Lineage == "" {
		return "no group"
	}
	return "group " + h.Lineage
}

// call is the caller's half of the handshake. peer is whose certificate the
// other side has shown.
func call(conn io.ReadWriter, mine hello, peer string) (report, error) {
	if err := writeHello(conn, mine); err != nil {
		return report{}, err
	}
	theirs, err := readHello(conn)
	if err != nil {
		return report{}, err
	}
	if err := same(theirs, peer); err != nil {
		return report{}, err
	}
	if theirs.Refusal != "" {
		return report{}, &fleet.Error{Kind: fleet.Conflict, Code: cmp.Or(theirs.Code, codePeerRefused), Message: theirs.Refusal}
	}
	if err := judge(mine, theirs); err != nil {
		return report{}, &fleet.Error{Kind: fleet.Conflict, Code: codeOr(err, codePeerRefused), Err: err}
	}
	return theirs.Report, nil
}

// answer is the other half. It returns what the caller said.
func answer(conn io.ReadWriter, local local, peer string) (hello, error) {
	theirs, err := readHello(conn)
	if err != nil {
		return hello{}, err
	}
	mine := local.hello()
	refused := same(theirs, peer)
	if refused == nil {
		refused = local.called(theirs, mine)
	}
	if refused == nil {
		refused = local.admits(theirs)
	}
	if refused != nil {
		mine.Refusal, mine.Code = refused.Error(), codeOr(refused, codePeerRefused)
	} else if theirs.Asks {
		mine.Report = local.report(theirs.About)
	}
	return theirs, errors.Join(refused, writeHello(conn, mine))
}

// same refuses one who calls itself otherwise than its certificate does.
func same(theirs hello, peer string) error {
	if theirs.From == peer {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "collector %s calls itself %s: its data directory belongs to another identity", peer, theirs.From).WithCode(codePeerRefused)
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
