package fleet

import (
	"cmp"
	"iter"
	"maps"
	"regexp"
	"slices"
)

// checker collects every wrong field, so that a person corrects them all at once.
type checker struct{ fields []FieldError }

func (c *checker) that(ok bool, field, value, reason string) {
	if !ok {
		c.fail(field, value, reason)
	}
}

func (c *checker) fail(field, value, reason string) {
	c.fields = append(c.fields, FieldError{Field: field, Value: value, Reason: reason})
}

// err returns nil, or one Invalid error with every field that failed.
func (c *checker) err() error {
	if len(c.fields) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Fields: c.fields}
}

// sorted walks a map in the order of its keys.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

var (
	labelKey   = regexp.MustCompile(`^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9._-]{0,63}$`)
)

// ValidLabel reports whether a host may have the label.
func ValidLabel(key, value string) bool { return validLabelKey(key) && validLabelValue(value) }

func validLabelKey(s string) bool   { return labelKey.MatchString(s) }
func validLabelValue(s string) bool { return labelValue.MatchString(s) }
