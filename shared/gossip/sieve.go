package gossip

import (
	"bytes"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// sieve stands between the two libraries and lets through what members need of
// each other: who comes and goes, and knocks. Serf would also obey questions
// that install and remove everyone's keys, pass packets on to any address, and
// forget a member for good when another asks it to. Nobody here needs any of
// that, and whoever has a key could do it.
type sieve struct{ memberlist.Delegate }

// The first byte of serf's messages. They are part of its protocol.
const (
	messageLeave     = 0
	messageJoin      = 1
	messageUserEvent = 3
	messageQuery     = 4
)

// NotifyMsg hands on what may pass.
func (s sieve) NotifyMsg(message []byte) {
	if passes(message) {
		s.Delegate.NotifyMsg(message)
	}
}

func passes(message []byte) bool {
	if len(message) == 0 {
		return false
	}
	switch message[0] {
	case messageJoin, messageUserEvent:
		return true
	case messageLeave:
		return !prunes(message[1:])
	}
	return false
}

// prunes reports whether a leave message asks to forget its member at once.
// What cannot be read asks for the worst.
func prunes(body []byte) bool {
	var leave struct {
		LTime uint64
		Node  string
		Prune bool
	}
	handle := codec.MsgpackHandle{}
	err := codec.NewDecoder(bytes.NewReader(body), &handle).Decode(&leave)
	return err != nil || leave.Prune
}
