package link

import (
	"encoding/json"
	"errors"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fault is an error on its way to another part.
type fault struct {
	Kind    string             `json:"kind"`
	Code    string             `json:"code,omitempty"`
	Message string             `json:"message"`
	Hint    string             `json:"hint,omitempty"`
	Fields  []fleet.FieldError `json:"fields,omitempty"`
}

// maxFault is how much of an error's text is told.
const maxFault = 16 << 10

// writeFault tells an error.
func writeFault(err error) []byte {
	told := fault{Kind: fleet.KindOf(err).String(), Message: clip(err.Error(), maxFault)}
	if e, is := errors.AsType[*fleet.Error](err); is {
		told.Code, told.Hint = e.Code, clip(e.Hint, maxFault)
		if error(e) == err && e.Err == nil && len(e.Fields) < 50 { // otherwise the text says it all
			told.Message, told.Fields = clip(e.Message, maxFault), e.Fields
		}
	}
	text, err := json.Marshal(told)
	if err != nil || len(text) > MaxFrame {
		text, _ = json.Marshal(fault{Kind: told.Kind, Code: told.Code, Message: clip(told.Message, 1000)})
	}
	return text
}

// readFault understands it.
func readFault(text []byte) error {
	var told fault
	if err := json.Unmarshal(text, &told); err != nil {
		return fleet.Errorf(fleet.Internal, "an error that cannot be read: %v", err)
	}
	e := &fleet.Error{Kind: fleet.Internal, Code: told.Code, Message: told.Message, Hint: told.Hint, Fields: told.Fields}
	for k := fleet.Internal; k <= fleet.TooMany; k++ {
		if k.String() == told.Kind {
			e.Kind = k
		}
	}
	return e
}

func clip(text string, most int) string {
	if len(text) > most {
		return text[:most]
	}
	return text
}
