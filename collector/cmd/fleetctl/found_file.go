package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fleetcron/fleetcron/shared/taskfile"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// text returns the file of one task, led by where it was found.
func (t *foundTask) text() ([]byte, error) {
	var out bytes.Buffer
	for i, from := range t.From {
		const most = 20
		if i == most {
			fmt.Fprintf(&out, "# … and %d more\n", len(t.From)-most)
			break
		}
		line := fmt.Sprintf("found on %s in %s (%s)", from.Host, placeText(from.Source, from.Line), from.Kind)
		if from.Extra != "" {
			line += ", " + from.Extra
		}
		comment(&out, line)
	}
	for _, why := range t.Mind {
		comment(&out, "mind: "+why)
	}
	if t.Masked {
		comment(&out, "It holds a secret that its host keeps to itself: put what belongs in the place of")
		comment(&out, "<redacted:…> where only "+orDash(t.Task.Run.User)+" can read it, and have the command read it there.")
	}
	text, err := taskfile.Format(t.Task)
	out.Write(text)
	return out.Bytes(), err
}

// comment writes one line that no text of a host can break out of.
func comment(out *bytes.Buffer, text string) {
	fmt.Fprintf(out, "# %s\n", strings.Map(func(r rune) rune {
		if r == 0xfffe || r == 0xffff {
			return 0xfffd // YAML takes neither
		}
		return r
	}, visible.Line(text)))
}

// leftOutFile is where --dir lists what no file was written for.
const leftOutFile = "left-out.txt"

func (e *foundExport) writeFiles(p *program, dir string) error {
	root, err := openDir(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range e.Tasks {
		text, err := e.Tasks[i].text()
		if err == nil {
			err = writeTaskFile(root, e.Tasks[i].Task.ID(), text)
		}
		if err != nil {
			return err
		}
	}
	if err := root.WriteFile(leftOutFile, []byte(e.summary()), 0o644); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	p.note("%s in %s; %s left out, %s says why", count(len(e.Tasks), "task"), dir, count(len(e.LeftOut), "job"), filepath.Join(dir, leftOutFile))
	if len(e.Tasks) > 0 {
		p.note("fleetctl validate -f %s checks them; the jobs go on running where they are until fleetctl adopt takes them over", shellWord(dir))
	}
	return nil
}

// summary lists what was left out, for people.
func (e *foundExport) summary() string {
	jobs := 0
	for i := range e.Tasks {
		jobs += len(e.Tasks[i].From)
	}
	text := fmt.Sprintf("%s for %s; %s left out\n", count(len(e.Tasks), "task"), count(jobs, "job"), count(len(e.LeftOut), "job"))
	for _, left := range e.LeftOut {
		text += visible.Line(fmt.Sprintf("  %s %s %s: %s", jobRef(left.Host, left.Job), placeText(left.Source, left.Line), cut(visible.Line(left.Command), 60), left.Reason)) + "\n"
	}
	return text
}
