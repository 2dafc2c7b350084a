package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/fleetcron/fleetcron/shared/visible"
)

// column is one column of a table.
type column struct {
	title   string
	wide    bool // only with -o wide
	right   bool // numbers
	shrinks bool // gives way when the terminal is narrow
	paint   func(text string) color
}

// table collects rows and writes them aligned.
type table struct {
	columns []column
	rows    [][]string
	all     bool // with the wide columns
	width   int  // of the terminal; zero: as wide as it takes
	color   bool
}

// row adds a row: a text for every column, also for those not shown.
func (t *table) row(cells ...string) {
	shown := make([]string, len(cells))
	for i, cell := range cells {
		shown[i] = visible.Line(cell)
	}
	t.rows = append(t.rows, shown)
}

const columnGap = 2

// write writes titles and rows. Only a terminal cuts; a file gets everything.
func (t *table) write(w io.Writer) error {
	widths := t.widths()
	var b strings.Builder
	t.line(&b, widths, func(i int) (string, color) { return t.columns[i].title, dim })
	for _, row := range t.rows {
		t.line(&b, widths, func(i int) (string, color) {
			if paint := t.columns[i].paint; paint != nil {
				return row[i], paint(row[i])
			}
			return row[i], noColor
		})
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// widths returns the width of each column; -1 for one that is not shown.
func (t *table) widths() []int {
	widths := make([]int, len(t.columns))
	total := 0
	for i, column := range t.columns {
		if column.wide && !t.all {
			widths[i] = -1
			continue
		}
		widths[i] = textWidth(column.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], textWidth(row[i]))
		}
		total += widths[i] + columnGap
	}
	if t.width > 0 {
		t.shrink(widths, total-columnGap-t.width)
	}
	return widths
}

// minShrunk is the least width a shrinking column keeps.
const minShrunk = 12

// shrink takes columns away from the widest that may shrink, one by one.
func (t *table) shrink(widths []int, excess int) {
	for ; excess > 0; excess-- {
		widest := -1
		for i, column := range t.columns {
			if column.shrinks && widths[i] > minShrunk && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func (t *table) line(b *strings.Builder, widths []int, cell func(int) (string, color)) {
	var line strings.Builder
	for i, width := range widths {
		if width < 0 {
			continue
		}
		text, hue := cell(i)
		text = cut(text, width)
		pad := strings.Repeat(" ", width-textWidth(text))
		if t.color {
			text = hue.paint(text)
		}
		if t.columns[i].right {
			text, pad = pad+text, ""
		}
		line.WriteString(text + pad + strings.Repeat(" ", columnGap))
	}
	fmt.Fprintln(b, strings.TrimRight(line.String(), " "))
}

// color is an ANSI attribute.
type color string

// The colours a state may have.
const (
	noColor color = ""
	dim     color = "2"
	red     color = "31"
	green   color = "32"
	yellow  color = "33"
)

func (c color) paint(text string) string {
	if c == noColor || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// paintState colours the words that say how something fares.
func paintState(text string) color {
	word, _, _ := strings.Cut(text, " ")
	switch strings.TrimSuffix(word, ":") {
	case "alive", "leader", "enabled", "yes", "follower":
		return green
	case "silent", "missed", "unknown", "no", "unreachable", "overdue":
		return red
	case "adopted", "stale", "left", "paused", "skipped", "pending", "begun", "running":
		return yellow
	case "exit":
		if text == "exit 0" || strings.HasPrefix(text, "exit 0,") {
			return green
		}
		return red
	}
	if strings.HasPrefix(text, "SIG") || strings.HasPrefix(text, "timed out") || strings.HasPrefix(text, "cancelled") {
		return red
	}
	return noColor
}

// redIf colours one text, redUnless all but one.
func redIf(bad string) func(string) color {
	return func(text string) color {
		if text == bad {
			return red
		}
		return noColor
	}
}

func redUnless(fine string) func(string) color {
	return func(text string) color {
		if text == fine {
			return noColor
		}
		return red
	}
}
