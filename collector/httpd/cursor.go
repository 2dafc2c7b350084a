package httpd

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Cursors are the ledger's own keys, so that a page begins where the last one
// ended however many items came in between; outside they are opaque.

func sealCursor(key string) string {
	if key == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(key))
}

// openPage reads the cursor of a page and checks its limit.
func openPage(page api.Page) (api.Page, error) {
	key, err := base64.RawURLEncoding.DecodeString(page.After)
	if err != nil {
		return page, fleet.Invalidf("after", clip(page.After), "want the next of the page before")
	}
	page.After = string(key)
	if page.Limit < 0 || page.Limit > api.MaxPage {
		return page, fleet.Invalidf("limit", "", "want 1–%d", api.MaxPage)
	}
	if page.Limit == 0 {
		page.Limit = api.DefaultPage
	}
	return page, nil
}

// paged returns the page of a list that is sorted by its keys.
func paged[T any](whole []T, page api.Page, key func(T) string) (api.List[T], error) {
	list := api.List[T]{Items: []T{}, Total: len(whole)}
	page, err := openPage(page)
	if err != nil {
		return list, err
	}
	from, found := slices.BinarySearchFunc(whole, page.After, func(one T, after string) int { return strings.Compare(key(one), after) })
	if found {
		from++
	}
	end := min(from+page.Limit, len(whole))
	if list.Items = append(list.Items, whole[from:end]...); end < len(whole) {
		list.Next = sealCursor(key(whole[end-1]))
	}
	return list, nil
}

// oneOf checks a word of a query against the words there are.
func oneOf[T ~string](field string, value T, words ...T) error {
	if value == "" {
		return nil
	}
	list := ""
	for i, word := range words {
		if value == word {
			return nil
		}
		if i > 0 {
			list += ", "
		}
		list += string(word)
	}
	return fleet.Invalidf(field, clip(string(value)), "want one of %s", list)
}
