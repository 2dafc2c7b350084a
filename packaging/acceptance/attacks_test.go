package acceptance

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// attacks is how many inputs the list of attacks has. Each has its answer in a
// test whose name begins with TestAttack and its number, or several numbers
// joined by And, or a range with To; in a script, a comment that begins so
// stands before what it tries.
const attacks = 118

// unanswered are the attacks on what does not exist here, with the reason.
var unanswered = map[int]string{
	29: "roles only allow: there is no rule that denies, and so none that another could outweigh",
	61: "nothing writes CSV: lists are tables for people, JSON and YAML",
}

// otherwise are the attacks whose answer is not the one in the list, or has
// another name, with the reason. What is refused on a host is not named here:
// task_rejected:RULE of the list is an outcome "missed, policy" whose detail
// names the rule and the line of the host's policy that says so.
var otherwise = map[int]string{
	37:  "a record that cannot be is acknowledged, logged as refused and changes nothing: were it refused, the agent could deliver nothing after it",
	38:  "as 37; the record that ended first stands",
	40:  "the code is too_large, that of every body",
	41:  "415: nothing that comes is unpacked, so there is no bomb",
	44:  "400 or 404, by what is wrong with it: an id that cannot be, or a path that leads nowhere",
	54:  "the code is misdirected",
	71:  "the id of an order stands for the nonce",
	88:  "the policy is policy.yaml, read strictly",
	95:  "the next agent finds the run and goes on with it, or says what can be proved; it is never begun again",
	96:  "the reason names what it is: a FIFO, a device, a socket, a directory, a link to nothing",
	97:  "as 96: the link is not followed, and the reason says so",
	101: "the reason is that it was replaced by something else while it was looked at; the next scan looks again",
	113: "the entry of the chain is part of the change: where one cannot be written, neither is",
	114: "there is no bind without TLS and no token in a configuration: what is refused is a missing identity, and files with secrets that others may read",
	117: "what runs commands has a soft limit only, for a command may want a core of its own",
	118: "the sums of the packages fail; they are not signed",
}

var (
	attackName   = regexp.MustCompile(`^TestAttack((?:\d+)(?:(?:And|and|To|to)\d+)*)`)
	attackRemark = regexp.MustCompile(`(?m)^\s*# (TestAttack\d\w*): `)
)

// TestEveryAttackHasItsAnswer keeps the list whole: a number without a test
// must say why, and one that says why must have none.
func TestEveryAttackHasItsAnswer(t *testing.T) {
	answered := map[int][]string{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2:
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		names, err := attackTests(path)
		for _, name := range names {
			for _, number := range numbersOf(name) {
				answered[number] = append(answered[number], name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for number := 1; number <= attacks; number++ {
		why, without := unanswered[number]
		tests := answered[number]
		if otherwise[number] != "" && len(tests) == 0 {
			t.Errorf("attack %d is said to be answered otherwise, and has no test", number)
		}
		switch {
		case len(tests) == 0 && !without:
			t.Errorf("attack %d has no test, and nothing says why", number)
		case len(tests) > 0 && without:
			t.Errorf("attack %d is said to have no test (%s), and has %s", number, why, strings.Join(tests, ", "))
		}
	}
	for _, number := range slices.Sorted(maps.Keys(answered)) {
		if number < 1 || number > attacks {
			t.Errorf("%s answers attack %d, which is not on the list", answered[number], number)
		}
	}
}

// attackTests lists the tests that a file of Go or of a shell holds.
func attackTests(path string) (names []string, err error) {
	switch {
	case strings.HasSuffix(path, "_test.go"):
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, declaration := range file.Decls {
			if function, is := declaration.(*ast.FuncDecl); is && function.Recv == nil {
				names = append(names, function.Name.Name)
			}
		}
	case strings.HasSuffix(path, "_test.sh"):
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, remark := range attackRemark.FindAllSubmatch(text, -1) {
			names = append(names, string(remark[1]))
		}
	}
	return names, nil
}

// numbersOf reads the numbers in a test's name: TestAttack12…, TestAttack46And48…,
// TestAttack64To68….
func numbersOf(name string) (numbers []int) {
	match := attackName.FindStringSubmatch(name)
	if match == nil {
		return nil
	}
	for part := range strings.SplitSeq(strings.ToLower(match[1]), "and") {
		first, last, isRange := strings.Cut(part, "to")
		from, _ := strconv.Atoi(first)
		to := from
		if isRange {
			to, _ = strconv.Atoi(last)
		}
		for number := from; number <= to; number++ {
			numbers = append(numbers, number)
		}
	}
	return numbers
}
