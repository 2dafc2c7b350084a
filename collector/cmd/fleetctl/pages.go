package main

import (
	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// paging says how much of a list is wanted.
type paging struct {
	limit int
	all   bool
}

func (g *paging) addFlags(c *cobra.Command) {
	c.Flags().IntVar(&g.limit, "limit", 100, "list at most this `many`")
	c.Flags().BoolVar(&g.all, "all", false, "list everything, however long it is")
}

// collect reads pages until enough items that pass keep (nil: all of them) are
// there. The total is -1 where a filter of ours makes it unknown.
func collect[T any](g paging, fetch func(api.Page) (api.List[T], error), keep func(T) bool) (api.List[T], error) {
	if g.limit < 1 {
		return api.List[T]{}, fleet.Errorf(fleet.Usage, "--limit %d: want at least 1", g.limit).WithHint("--all lists everything")
	}
	result := api.List[T]{Items: []T{}}
	page := api.Page{Limit: api.MaxPage}
	for {
		if missing := g.limit - len(result.Items); !g.all && keep == nil {
			page.Limit = min(api.MaxPage, missing)
		}
		list, err := fetch(page)
		if err != nil {
			return result, err
		}
		for _, item := range list.Items {
			if keep == nil || keep(item) {
				result.Items = append(result.Items, item)
			}
		}
		result.Total, result.Index, result.Next = list.Total, list.Index, list.Next
		if keep != nil {
			result.Total = -1
		}
		full := !g.all && len(result.Items) >= g.limit
		if full && len(result.Items) > g.limit {
			result.Items, result.Next = result.Items[:g.limit], ""
			return result, nil
		}
		if full || list.Next == "" {
			return result, nil
		}
		page.After = list.Next
	}
}

// showList reads a list and prints it: for people as the table that draw writes.
func showList[T any](p *program, g paging, fetch func(api.Page) (api.List[T], error), keep func(T) bool, draw func([]T) error) (api.List[T], error) {
	list, err := collect(g, fetch, keep)
	if err != nil {
		return list, err
	}
	return list, p.show(list, func() error {
		if err := draw(list.Items); err != nil {
			return err
		}
		noteRest(p, g, list)
		return nil
	})
}

// collectAll reads every page.
func collectAll[T any](fetch func(api.Page) (api.List[T], error)) ([]T, error) {
	list, err := collect(paging{limit: 1, all: true}, fetch, nil)
	return list.Items, err
}

// noteRest tells people that a list goes on.
func noteRest[T any](p *program, g paging, list api.List[T]) {
	shown := len(list.Items)
	switch {
	case !p.settings.Output.people() || list.Next == "" && shown < g.limit:
	case list.Total > shown:
		p.note("%d of %d shown; --all shows the rest", shown, list.Total)
	case list.Next != "", list.Total < 0 && !g.all:
		p.note("the first %d shown; --all shows the rest", shown)
	}
}
