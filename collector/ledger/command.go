package ledger

import (
	"fmt"
	"reflect"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Command is one change of the ledger, as a pointer to one of the types in the
// table below. Times, ids and names of people come with it.
type Command interface {
	// apply carries the command out. It returns a *fleet.Error when it
	// refuses, and then has written nothing.
	apply(c *change) any
}

// kind is a row of the command table.
type kind struct {
	number  byte // the first byte of an entry
	version byte // the second
	command func() Command
	result  func() any // a pointer to what apply returns when it does not refuse; nil: nothing
}

// kinds is every command there is. Number and version are the first two bytes
// of a raft entry and stay on disk for ever: add rows, never renumber or reuse
// one. A changed encoding is a new version beside the old one.
var kinds = []kind{
	{1, 1, func() Command { return new(InitCluster) }, func() any { return new(Cluster) }},
	{2, 1, func() Command { return new(PutCollector) }, nil},
	{3, 1, func() Command { return new(DropCollector) }, nil},
	{4, 1, func() Command { return new(RegisterHost) }, nil},
	{5, 1, func() Command { return new(RecordReport) }, func() any { return new(Recorded) }},
	{6, 1, func() Command { return new(PutTask) }, func() any { return new(fleet.TaskRecord) }},
	{7, 1, func() Command { return new(SetTaskState) }, func() any { return new(fleet.TaskRecord) }},
	{8, 1, func() Command { return new(PutOrders) }, func() any { return new([]fleet.Order) }},
	{9, 1, func() Command { return new(DropOrder) }, nil},
	{10, 1, func() Command { return new(RecordApplied) }, nil},
	{11, 1, func() Command { return new(RecordRuns) }, func() any { return new([]Receipt) }},
	{12, 1, func() Command { return new(Prune) }, func() any { return new(Pruned) }},
	{13, 1, func() Command { return new(Once) }, nil}, // the result of the command within
	{14, 1, func() Command { return new(RecordSightings) }, nil},
	{15, 1, func() Command { return new(PutPin) }, func() any { return new(fleet.Pin) }},
	{16, 1, func() Command { return new(DropPin) }, nil},
	{17, 1, func() Command { return new(PutAnnotation) }, func() any { return new(fleet.Annotation) }},
	{18, 1, func() Command { return new(PutAck) }, func() any { return new(fleet.Ack) }},
	{19, 1, func() Command { return new(DropAck) }, nil},
	{20, 1, func() Command { return new(Adopt) }, func() any { return new(fleet.Adoption) }},
	{21, 1, func() Command { return new(SettleAdoptions) }, nil},
	{22, 1, func() Command { return new(Release) }, func() any { return new(fleet.Adoption) }},
	{23, 1, func() Command { return new(TakeLease) }, func() any { return new(fleet.Lease) }},
	{24, 1, func() Command { return new(ReturnLease) }, nil},
	{25, 1, func() Command { return new(PutCalendar) }, func() any { return new(fleet.CalendarRecord) }},
	{26, 1, func() Command { return new(DropCalendar) }, nil},
	{27, 1, func() Command { return new(RecordStandings) }, nil},
	{28, 1, func() Command { return new(Audited) }, nil}, // the result of the command within
	{29, 1, func() Command { return new(RecordRefusals) }, nil},
	{30, 1, func() Command { return new(PutToken) }, func() any { return new(fleet.Token) }},
	{31, 1, func() Command { return new(RevokeToken) }, func() any { return new(fleet.Token) }},
	{32, 1, func() Command { return new(PutJoinToken) }, func() any { return new(fleet.JoinToken) }},
	{33, 1, func() Command { return new(DropJoinToken) }, nil},
	{34, 1, func() Command { return new(UseJoinToken) }, func() any { return new(fleet.Node) }},
	{35, 1, func() Command { return new(PutNode) }, func() any { return new(fleet.Node) }},
	{36, 1, func() Command { return new(ApproveNode) }, func() any { return new(fleet.Node) }},
	{37, 1, func() Command { return new(SetNodeState) }, func() any { return new(fleet.Node) }},
	{38, 1, func() Command { return new(RenewNode) }, func() any { return new(fleet.Node) }},
	{39, 1, func() Command { return new(PutRules) }, func() any { return new(fleet.Rules) }},
	{40, 1, func() Command { return new(DropRules) }, nil},
	{41, 1, func() Command { return new(PutRequest) }, func() any { return new(fleet.Request) }},
	{42, 1, func() Command { return new(Approve) }, func() any { return new(Approved) }},
	{43, 1, func() Command { return new(DropRequest) }, nil},
	{44, 1, func() Command { return new(RecordPolicy) }, nil},
	{45, 1, func() Command { return new(PutEnvelope) }, func() any { return new(fleet.TaskRecord) }},
	{46, 1, func() Command { return new(RecordProofs) }, nil},
	{49, 1, func() Command { return new(PutRevocation) }, nil},
}

// Encode returns the command as the data of a raft entry: number, version,
// then deterministic CBOR. What could not be read again (a year beyond 9999)
// is an error here, because in the log it would end every collector.
func Encode(command Command) ([]byte, error) {
	row, err := kindOf(command)
	if err != nil {
		return nil, err
	}
	body, err := encoding.Marshal(command)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", command, err)
	}
	data := append([]byte{row.number, row.version}, body...)
	if _, runs := command.(*RecordRuns); runs {
		return data, nil // holds only texts and numbers, and there are many
	}
	if _, err := Decode(data); err != nil {
		return nil, &fleet.Error{Kind: fleet.Invalid, Message: fmt.Sprintf("%T cannot be recorded", command), Err: err}
	}
	return data, nil
}

// Decode reads what Encode wrote. An entry that this version does not know is
// an error, and a reason to stop: skipping it would make collectors differ.
func Decode(data []byte) (Command, error) {
	if len(data) < 2 {
		return nil, fmt.Errorf("entry of %d bytes is no command", len(data))
	}
	row, err := kindNumbered(data[0], data[1])
	if err != nil {
		return nil, err
	}
	command := row.command()
	if err := decoding.Unmarshal(data[2:], command); err != nil {
		return nil, fmt.Errorf("decode %T: %w", command, err)
	}
	return command, nil
}

func kindOf(command Command) (kind, error) {
	for _, row := range kinds {
		if reflect.TypeOf(row.command()) == reflect.TypeOf(command) && !reflect.ValueOf(command).IsNil() {
			return row, nil
		}
	}
	return kind{}, fmt.Errorf("%T is no command of the ledger", command)
}

func kindNumbered(number, version byte) (kind, error) {
	for _, row := range kinds {
		if row.number == number && row.version == version {
			return row, nil
		}
	}
	return kind{}, fmt.Errorf("command %d version %d is unknown: it was written by a newer collector; upgrade this one", number, version)
}
