package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// encoding and decoding are the one form of entries and rows. Encoding is
// deterministic, so that equal rows are equal bytes. Decoding refuses unknown
// fields: they come from a newer collector and dropping them would make
// collectors differ. Text need not be UTF-8, because crontabs need not be.
var (
	encoding = must(cbor.EncOptions{
		Sort:        cbor.SortCoreDeterministic,
		IndefLength: cbor.IndefLengthForbidden,
		Time:        cbor.TimeRFC3339NanoUTC,
	}.EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements:  1 << 20,
		UTF8:              cbor.UTF8DecodeInvalid,
	}.DecMode())
	// glancing reads some fields of a row and passes over the others.
	glancing = must(cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

// encode returns a row as bytes. Rows hold nothing that could fail.
func encode(row any) []byte {
	data, err := encoding.Marshal(row)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", row, err))
	}
	return data
}

// decode reads a row. A row that cannot be read is a damaged file.
func decode[T any](data []byte) (T, error) {
	var row T
	if err := decoding.Unmarshal(data, &row); err != nil {
		return row, fmt.Errorf("damaged row of %T: %w", row, err)
	}
	return row, nil
}

func bigEndian(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// number reads what bigEndian wrote; anything else is zero.
func number(data []byte) uint64 {
	if len(data) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(data)
}
