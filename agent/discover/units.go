package discover

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// units are the unit files that one systemd reads.
type units struct {
	*systemd
	scan    *scan
	places  []unitDir
	enabled map[string]string // a unit and the link that pulls it in
	closed  bool              // a directory of the user's could not be opened
	left    int               // of maxUnits; less than 0: the rest is not looked at
}

const (
	// maxUnits is what the units of one manager may take, in bytes: names,
	// files and what is made of them. A user could fill the memory with them.
	maxUnits     = 32 << 20
	maxUnitBytes = 1 << 20 // of one file
	nameCost     = 100     // bytes that a name takes beside its own
	settingCost  = 80
)

// spend takes of what units may take, and reports whether there was enough.
func (u *units) spend(bytes int) bool {
	u.left -= bytes
	return u.left >= 0
}

func (u *units) spendNames(names []string) bool {
	bytes := 0
	for _, name := range names {
		bytes += len(name) + nameCost
	}
	return u.spend(bytes)
}

// unitDir is one of the manager's directories, as far as it is there.
type unitDir struct {
	*directory
	has     []string // in order
	private bool     // a user writes it
}

func (d *unitDir) holds(name string) bool {
	_, ok := slices.BinarySearch(d.has, name)
	return ok
}

// openUnits lists the directories of a manager's units and finds what is enabled.
func (s *scan) openUnits(out *found, m *systemd) *units {
	u := &units{systemd: m, scan: s, enabled: make(map[string]string), left: maxUnits}
	private := m.private()
	for _, name := range m.dirs {
		one := unitDir{private: slices.Contains(private, name)}
		if one.directory = u.open(out, name, one.private); one.directory == nil {
			continue
		}
		if slices.ContainsFunc(u.places, func(d unitDir) bool { return d.stat.Dev == one.stat.Dev && d.stat.Ino == one.stat.Ino }) {
			one.Close() // /lib may be a link to /usr/lib
			continue
		}
		one.has = s.names(out, one.directory)
		u.places = append(u.places, one)
		if !u.spendNames(one.has) {
			return u
		}
	}
	u.findEnabled(out)
	return u
}

// open opens a directory, but not where a user may have led it elsewhere.
func (u *units) open(out *found, name string, private bool) *directory {
	if private && u.scan.tree.denied(name) {
		switch {
		case u.asUser:
			out.problem(printable(name), 0, "", errDenied.Error())
		case !u.closed:
			u.closed = true // so are the others
			out.failed(printable(name), unix.EACCES)
		}
		return nil
	}
	dir := u.scan.dir(out, name)
	if dir != nil && private && u.foreign(u.scan.tree, &dir.stat) {
		out.problem(printable(name), 0, "", "it does not belong to the user, so it is not looked at")
		dir.Close()
		return nil
	}
	return dir
}

func (u *units) Close() {
	for _, dir := range u.places {
		dir.Close()
	}
}

// findEnabled reads the links that make one unit pull in another. A link to
// /dev/null hides one of the same name in a directory below.
func (u *units) findEnabled(out *found) {
	seen := make(map[string]bool)
	for _, dir := range u.places {
		for _, wants := range dir.has {
			if ext := path.Ext(wants); ext != ".wants" && ext != ".requires" && ext != ".upholds" {
				continue
			}
			sub := u.open(out, dir.path+"/"+wants, dir.private)
			if sub == nil {
				continue
			}
			names := u.scan.names(out, sub)
			if !u.spendNames(names) {
				sub.Close()
				return
			}
			for _, name := range names {
				key := wants + "/" + name
				if ext := path.Ext(name); seen[key] || ext != ".timer" && ext != ".service" {
					continue
				}
				seen[key] = true
				if target, _ := sub.target(name); target != "/dev/null" {
					u.enabled[name] = sub.path + "/" + name
				}
			}
			sub.Close()
		}
	}
}

// target is where a link points to, as a path of the tree; empty for no link.
func (d *directory) target(name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd, name, buffer)
	switch {
	case errors.Is(err, unix.EINVAL):
		return "", nil
	case err != nil:
		return "", err
	case path.IsAbs(string(buffer[:n])):
		return path.Clean(string(buffer[:n])), nil
	}
	return path.Join(d.real, string(buffer[:n])), nil
}

// names returns the units with an ending, from files and from enabled links,
// in order. Templates are none, nor is what systemd takes for no unit's name.
func (u *units) names(ending string) []string {
	var names []string
	add := func(name string) {
		if n := splitUnit(name); validUnit(name) && n.suffix == ending && n.prefix != "" && (!n.template || n.instance != "") {
			names = append(names, name)
		}
	}
	for _, dir := range u.places {
		for _, name := range dir.has {
			add(name)
		}
	}
	for name := range u.enabled {
		add(name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unit is a unit as systemd puts it together of its files.
type unit struct {
	manager  *systemd
	name     string // its own; aliases are resolved
	path     string // of its file; of a masked one, of the file that is masked
	mask     string // of the file that masks it; empty: none does
	settings []setting
	partial  bool // a part of it could not be read
}

// maxAliases bounds how often an alias may lead to another.
const maxAliases = 8

// load puts a unit together, or returns nil if there is none of that name or
// its file cannot be read, which is then a problem.
func (u *units) load(ctx context.Context, out *found, name string) *unit {
	loaded := &unit{manager: u.systemd, name: name}
	content := u.find(ctx, out, loaded)
	if loaded.path == "" {
		if loaded.mask == "" {
			return nil
		}
		loaded.path = loaded.mask
	}
	failures := len(out.unread)
	loaded.settings = parseUnit(loaded.path, content)
	for _, file := range u.dropIns(ctx, out, loaded.name) {
		loaded.settings = append(loaded.settings, parseUnit(file.path, file.content)...)
	}
	loaded.partial = len(out.unread) > failures
	if !u.spend(settingCost * len(loaded.settings)) {
		return nil
	}
	return loaded
}

// find reads the file of the unit's name, or else of its template's, and
// follows aliases to the name the unit really has.
func (u *units) find(ctx context.Context, out *found, loaded *unit) []byte {
	asked := loaded.name
	for range maxAliases {
		content, alias := u.first(ctx, out, loaded, loaded.name)
		if template := splitUnit(loaded.name).of(); template != "" && loaded.path == "" && alias == "" {
			content, alias = u.first(ctx, out, loaded, template)
		}
		switch {
		case alias == "":
			return content
		case u.where(alias) == "" && u.where(splitUnit(alias).of()) == "":
			out.problem(printable(u.where(asked)), 0, "", fmt.Sprintf("it is an alias of %s, of which there is no unit file", alias))
			return nil
		}
		loaded.name = alias
	}
	out.problem(printable(u.where(asked)), 0, "", "it is an alias, and they go round in a circle")
	return nil
}

// where is the first file of a unit's name; empty if there is none.
func (u *units) where(name string) string {
	for _, dir := range u.places {
		if name != "" && dir.holds(name) {
			return dir.path + "/" + name
		}
	}
	return ""
}

// first reads the first file of a name that holds something, or finds what the
// name is an alias of. Files that mask those below them are noted.
func (u *units) first(ctx context.Context, out *found, loaded *unit, name string) (content []byte, alias string) {
	for _, dir := range u.places {
		if !dir.holds(name) {
			continue
		}
		source := dir.path + "/" + name
		target, err := dir.target(name)
		if real := path.Base(target); target != "" && target != "/dev/null" && real != name && path.Ext(real) == path.Ext(name) && !splitUnit(real).isTemplate() {
			return nil, real
		}
		if err == nil && target != "/dev/null" {
			content, err = u.read(ctx, dir, name)
		}
		if err != nil {
			out.failed(printable(source), err)
			return nil, ""
		}
		if len(content) == 0 {
			loaded.mask = orText(loaded.mask, source)
			continue
		}
		loaded.path = source
		return content, ""
	}
	return nil, ""
}

func (n unitName) isTemplate() bool { return n.template && n.instance == "" }

func orText(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

// read reads a file of units; a link only if it is root's, or if what the
// user of the directory may not read is out of reach.
func (u *units) read(ctx context.Context, dir unitDir, name string) ([]byte, error) {
	content, err := u.readAs(ctx, dir, name)
	if dir.private && u.asUser && isDenied(err) {
		err = errDenied
	}
	return content, err
}

func (u *units) readAs(ctx context.Context, dir unitDir, name string) ([]byte, error) {
	p, err := dir.lookup(name, false)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	switch {
	case dir.private && u.foreign(u.scan.tree, &p.stat):
		return nil, errForeign
	case p.kind() == unix.S_IFLNK:
		if dir.private && u.strict || !dir.private && !u.scan.tree.root(p.stat.Uid) {
			return nil, errUnitLink
		}
		target, err := dir.lookup(name, true)
		if err != nil {
			return nil, fmt.Errorf("symbolic link: %w", err)
		}
		defer target.Close()
		p = target
	}
	if p.kind() == unix.S_IFREG && p.stat.Size > maxUnitBytes {
		return nil, fmt.Errorf("it has %d bytes; of a unit file no more than %d MiB are read", p.stat.Size, maxUnitBytes>>20)
	}
	content, err := p.read(ctx, nil)
	if !u.spend(len(content)) {
		return nil, errUnits
	}
	return content, err
}

var (
	errUnitLink = errors.New("the symbolic link does not belong to root, so it is not followed")
	errDenied   = errors.New("its user may not read it, and neither does a scan")
	errUnits    = fmt.Errorf("units take more than %d MiB; the rest was not looked at", maxUnits>>20)
	errForeign  = errors.New("it does not belong to the user, so it is not read")
)

// dropIn is a file that adds to a unit.
type dropIn struct {
	name, path string
	content    []byte
}

// dropIns returns the files that add to a unit, in the order they are read. Of
// files of one name the first counts; an empty one only hides the others.
func (u *units) dropIns(ctx context.Context, out *found, name string) []dropIn {
	var list []dropIn
	for _, sub := range dropInDirs(name) {
		for _, parent := range u.places {
			if !parent.holds(sub) {
				continue
			}
			dir := u.open(out, parent.path+"/"+sub, parent.private)
			if dir == nil {
				continue
			}
			files := u.scan.names(out, dir)
			if !u.spendNames(files) {
				dir.Close()
				return list
			}
			for _, file := range files {
				known := slices.ContainsFunc(list, func(d dropIn) bool { return d.name == file })
				if known || !strings.HasSuffix(file, ".conf") {
					continue
				}
				source := dir.path + "/" + file
				add := dropIn{name: file, path: source}
				if target, err := dir.target(file); err != nil || target != "/dev/null" {
					if add.content, err = u.read(ctx, unitDir{directory: dir, private: parent.private}, file); err != nil {
						out.failed(printable(source), err)
					}
				}
				list = append(list, add)
			}
			dir.Close()
		}
	}
	slices.SortFunc(list, func(a, b dropIn) int { return strings.Compare(a.name, b.name) })
	return list
}

// dropInDirs are the names of the directories whose files add to a unit: of
// its own name, its template's, each beginning of it up to a dash, its kind's.
func dropInDirs(name string) []string {
	n := splitUnit(name)
	dirs := []string{name + ".d"}
	if template := n.of(); template != "" {
		dirs = append(dirs, template+".d")
	}
	for prefix := strings.TrimSuffix(n.prefix, "-"); ; {
		i := strings.LastIndexByte(prefix, '-')
		if i <= 0 {
			break
		}
		prefix = prefix[:i]
		dirs = append(dirs, prefix+"-."+n.suffix+".d")
	}
	return append(dirs, n.suffix+".d")
}

// last returns the value a key has in the end; empty if none.
func (u *unit) last(section, key string) string {
	value := ""
	for _, s := range u.settings {
		if s.section == section && s.key == key {
			value = s.value
		}
	}
	return u.expand(value)
}

// all returns the values of a key that adds up; an empty one resets it.
func (u *unit) all(section, key string) []string {
	var values []string
	for _, s := range u.settings {
		switch {
		case s.section != section || s.key != key:
		case s.value == "":
			values = nil
		default:
			values = append(values, u.expand(s.value))
		}
	}
	return values
}
