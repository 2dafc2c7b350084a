package api

import (
	"encoding"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Values writes a query such as HostQuery as URL parameters, leaving out what
// is zero. ParseValues reads them back.
func Values(query any) url.Values {
	values := url.Values{}
	eachParameter(reflect.ValueOf(query), func(name string, field reflect.Value) {
		if !field.IsZero() {
			values.Set(name, writeParameter(field))
		}
	})
	return values
}

// ParseValues reads URL parameters into the query that into points at. A name
// that the query does not have, a name given twice and a value that cannot be
// read are Invalid; the code of the first is CodeParameter.
func ParseValues(values url.Values, into any) error {
	var wrong []fleet.FieldError
	known := map[string]bool{}
	eachParameter(reflect.ValueOf(into).Elem(), func(name string, field reflect.Value) {
		known[name] = true
		given, present := values[name]
		switch {
		case !present:
		case len(given) > 1:
			wrong = append(wrong, fleet.FieldError{Field: name, Value: strings.Join(given, ", "), Reason: "is given more than once"})
		default:
			if reason := readParameter(field, given[0]); reason != "" {
				wrong = append(wrong, fleet.FieldError{Field: name, Value: given[0], Reason: reason})
			}
		}
	})
	code := ""
	for name, given := range values {
		if !known[name] {
			code = CodeParameter
			wrong = append(wrong, fleet.FieldError{Field: name, Value: given[0], Reason: "is no parameter of this request"})
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong, func(a, b fleet.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return &fleet.Error{Kind: fleet.Invalid, Code: code, Message: "query", Fields: wrong}
}

// eachParameter calls visit for every field with a query tag, embedded structs
// included.
func eachParameter(query reflect.Value, visit func(name string, field reflect.Value)) {
	for i := range query.NumField() {
		declared := query.Type().Field(i)
		if declared.Anonymous {
			eachParameter(query.Field(i), visit)
		} else if name := declared.Tag.Get("query"); name != "" {
			visit(name, query.Field(i))
		}
	}
}

func writeParameter(field reflect.Value) string {
	switch value := field.Interface().(type) {
	case time.Time:
		return value.Format(time.RFC3339Nano)
	case fleet.Duration:
		return value.String()
	}
	switch field.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(field.Bool())
	case reflect.Int:
		return strconv.FormatInt(field.Int(), 10)
	case reflect.Uint64:
		return strconv.FormatUint(field.Uint(), 10)
	default:
		return field.String()
	}
}

// readParameter sets the field and returns what is wrong with the text, or
// nothing.
func readParameter(field reflect.Value, text string) (reason string) {
	switch value := field.Addr().Interface().(type) {
	case *time.Time:
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return "want an instant such as 2026-12-01T02:00:00Z"
		}
		*value = at
		return ""
	case encoding.TextUnmarshaler:
		if value.UnmarshalText([]byte(text)) != nil {
			return "want a duration such as 90s, 5m or 1h30m"
		}
		return ""
	}
	switch field.Kind() {
	case reflect.Bool:
		set, err := strconv.ParseBool(text)
		if err != nil && text != "" { // "?failed" alone says yes
			return "want true or false"
		}
		field.SetBool(set || text == "")
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return "want a whole number, not negative"
		}
		field.SetInt(n)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return "want a whole number, not negative"
		}
		field.SetUint(n)
	default:
		if strings.ContainsRune(text, 0) || len(text) > maxParameter {
			return "want at most 1024 bytes without NUL"
		}
		field.SetString(text)
	}
	return ""
}

// maxParameter is how many bytes one query parameter may have.
const maxParameter = 1024
