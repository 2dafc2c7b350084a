package discover

import (
	"bytes"
	"regexp"
	"strings"
)

// reach is how far a banner speaks.
type reach uint8

const (
	ofFile  reach = iota // in the comments a file begins with: all of it; else the next job
	ofJob                // the next job, with nothing but comments and settings between
	ofRest               // all that follows
	ofBlock              // what follows, up to endOfBlock
	endOfBlock
)

// unknownTool manages what only says that people should leave it alone.
const unknownTool = "unknown tool"

// banner is a comment by which a tool marks what it writes. The text is looked
// for in the comment in lower case; the group of the pattern, where there is
// one, names the job in the tool's own words.
type banner struct {
	text    string
	pattern *regexp.Regexp // nil: the text says it all
	tool    string         // empty: nobody, though later rows would say so
	reach   reach
}

// banners is every mark there is. The first that fits a comment counts.
var banners = []banner{
	{text: "edit the master and reinstall"}, // crontab(1) itself wrote that for decades
	{text: "crontab -e"},                    // the advice is meant for a person
	{"ansible managed block", regexp.MustCompile(`(?i)\bbegin ansible managed block`), "Ansible", ofBlock},
	{"ansible managed block", regexp.MustCompile(`(?i)\bend ansible managed block`), "Ansible", endOfBlock},
	{"ansible:", regexp.MustCompile(`(?i)^#\s*ansible: ?(.*)`), "Ansible", ofJob},
	{"puppet name:", regexp.MustCompile(`(?i)puppet name: ?(.*)`), "Puppet", ofJob},
	{"chef name:", regexp.MustCompile(`(?i)chef name: ?(.*)`), "Chef", ofJob},
	{"salt_cron_identifier:", regexp.MustCompile(`(?i)salt_cron_identifier: ?(.*)`), "Salt", ofJob},
	{"lines below here are managed by salt", nil, "Salt", ofRest},
	{"ansible managed", nil, "Ansible", ofFile},
	{"ansible", written("ansible"), "Ansible", ofFile},
	{"puppet managed", nil, "Puppet", ofFile},
	{"puppet", written("puppet"), "Puppet", ofFile},
	{"chef", written("chef"), "Chef", ofFile},
	{"salt managed", nil, "Salt", ofFile},
	{"salt", written("salt"), "Salt", ofFile},
	{"cloud-init", written("cloud-init"), "cloud-init", ofFile},
	{"cfengine managed", nil, "CFEngine", ofFile},
	{"cfengine", written("cfengine"), "CFEngine", ofFile},
	{"edit", regexp.MustCompile(`(?i)\b(do not|don't|never) (manually |hand[- ])?edit\b`), unknownTool, ofFile},
	{"modify", regexp.MustCompile(`(?i)\b(do not|don't|never) (manually )?modify\b`), unknownTool, ofFile},
	{"overwritten", regexp.MustCompile(`(?i)\b(changes|edits|modifications)\b.*\boverwritten\b`), unknownTool, ofFile},
}

// written matches what tools say of themselves.
func written(by string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(auto-?generated|generated|managed|created|written|maintained|controlled|deployed|installed|dropped off)\b.*\b(by|with|via|through) (the )?` + by)
}

// bannerBegins are, by the first two bytes of a banner's text, the third ones,
// of each as many bits as tell the letters apart.
var bannerBegins = func() (thirds [1 << 10]uint32) {
	for i := range banners {
		text := banners[i].text
		thirds[int(text[0]&31)<<5|int(text[1]&31)] |= 1 << (text[2] & 31)
	}
	return thirds
}()

// marked reports whether any banner may stand in a comment: in most there is
// none.
func marked(lower []byte) bool {
	for i := 0; i+2 < len(lower); i++ {
		if bannerBegins[int(lower[i]&31)<<5|int(lower[i+1]&31)]>>(lower[i+2]&31)&1 != 0 {
			return true
		}
	}
	return false
}

const (
	maxBannerBytes = 500 // of a comment that are looked at
	maxMarkBytes   = 80  // of a job's name that are told
)

// marks say what manages the jobs of a file.
type marks struct {
	file string         // all of them
	jobs map[int]string // those of these lines
}

func (m *marks) at(line int) string {
	if tool, ok := m.jobs[line]; ok {
		return tool
	}
	return m.file
}

// readMarks reads the comments of a file whose jobs stand in those lines, in
// ascending order.
func readMarks(content []byte, lines []int) marks {
	var m marks
	leading, next, block, rest := true, "", "", ""
	var lower []byte
	number := 0
	for line := range bytes.Lines(content) {
		number++
		line = bytes.TrimSpace(line)
		for len(lines) > 0 && lines[0] < number {
			lines = lines[1:]
		}
		switch {
		case len(line) == 0:
			next = ""
			continue
		case line[0] == '#' || line[0] == ';':
			line = line[:min(len(line), maxBannerBytes)]
			lower = lowered(lower[:0], line)
			b, name := bannerOf(line, lower)
			switch {
			case b == nil || b.tool == "":
			case b.reach == ofFile && leading && (m.file == "" || m.file == unknownTool):
				m.file = b.tool
			case b.reach == ofRest:
				rest = b.tool
			case b.reach == ofBlock:
				block = b.tool
			case b.reach == endOfBlock:
				block = ""
			case b.reach == ofJob || b.reach == ofFile && !leading && next == "":
				next = b.tool + name
			}
			continue
		}
		leading = false
		if len(lines) == 0 {
			return m // no job follows
		}
		if lines[0] == number {
			m.set(number, next, block, rest)
			next = ""
		}
	}
	return m
}

// set notes the nearest of the marks that speak of a line.
func (m *marks) set(line int, tools ...string) {
	for _, tool := range tools {
		if tool == "" {
			continue
		}
		if m.jobs == nil {
			m.jobs = make(map[int]string)
		}
		m.jobs[line] = tool
		return
	}
}

// bannerOf returns the banner that a comment is, and the name it gives a job.
func bannerOf(line, lower []byte) (*banner, string) {
	if !marked(lower) {
		return nil, ""
	}
	for i := range banners {
		b := &banners[i]
		if !bytes.Contains(lower, []byte(b.text)) {
			continue
		}
		if b.pattern == nil {
			return b, ""
		}
		found := b.pattern.FindSubmatch(line)
		if found == nil {
			continue
		}
		name := ""
		if b.reach == ofJob {
			name = strings.TrimSpace(printable(string(found[1])))
		}
		if name == "" {
			return b, ""
		}
		return b, " (" + cut(name, maxMarkBytes) + ")"
	}
	return nil, ""
}

func lowered(to, from []byte) []byte {
	for _, c := range from {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		to = append(to, c)
	}
	return to
}
