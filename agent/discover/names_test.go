package discover

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// namings are the rules under the names of the corpus.
var namings = map[string]naming{
	"crond_debian":         debianTabs,
	"crond_debian_lsb(-l)": debianLSBTabs,
	"crond_cronie":         cronieTabs,
	"spool_debian":         debianSpool,
	"spool_cronie":         cronieTabs,
	"spool_busybox":        busyboxSpool,
	"run_parts_debian":     debianParts,
	"run_parts_debian_lsb": debianLSBParts,
	"run_parts_rhel":       rhelParts,
	"run_parts_busybox":    busyboxParts,
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name   string
		takers string // those who take it, of dDcsSbpPrBu in the order below
	}{
		{"backup", "dDcsbpPrBu"},
		{"backup.sh", "csrBu"},
		{"Backup_2", "dcsbprBu"},
		{"job~", "sb"},
		{".hidden", ""},
		{"#auto#", "sbr"},
		{"two words", "csbu"},
		{"job.rpmsave", "sB"},
		{"job.rpmorig", "sB"},
		{"job.bak", "csrB"},
		{"job.swp", "csBu"},
		{"job,v", "csbu"},
		{"job+x", "csbru"},
		{"vendor.org-job", "DcsPrBu"},
		{"vendor-job.dpkg-old", "csrBu"},
		{"job.dpkg-tmp", "DcsrBu"},
		{"_vendor-job", "dDcsbpPrBu"},
		{"-", "dcsbprBu"},
		{"~", "sb"},
		{".rpmnew", ""},
	} {
		got := ""
		for _, taker := range []struct {
			letter string
			rule   naming
		}{
			{"d", debianTabs}, {"D", debianLSBTabs}, {"c", cronieTabs}, {"s", debianSpool}, {"b", busyboxSpool},
			{"p", debianParts}, {"P", debianLSBParts}, {"r", rhelParts}, {"B", busyboxParts}, {"u", suseParts},
		} {
			if taker.rule.takes(c.name) {
				got += taker.letter
			}
		}
		if got != c.takers {
			t.Errorf("%q is taken by %q, want %q", c.name, got, c.takers)
		}
	}
}

// TestCorpusNames holds the rules to the programs themselves.
func TestCorpusNames(t *testing.T) {
	f, err := os.Open(filepath.Join(corpusDir(t), "names-truth.jsonl"))
	if os.IsNotExist(err) {
		t.Log("no corpus beside the repository: 0 names")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := 0
	for lines := bufio.NewScanner(f); lines.Scan(); count++ {
		var row map[string]any
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		name := row["name"].(string)
		for key, rule := range namings {
			if want, got := row[key].(bool), rule.takes(name); got != want {
				t.Errorf("%s takes %q: %v, want %v", key, name, got, want)
			}
		}
	}
	t.Logf("%d names", count)
}

// corpusDir is the shared corpus beside the repository.
func corpusDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "corpus")
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}
