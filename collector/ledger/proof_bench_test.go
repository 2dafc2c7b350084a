package ledger

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// BenchmarkProvenRuns records runs, and the proofs of the same runs, as the
// collectors do: ten hosts an entry of runs, an entry for each host's block,
// whose signature and hashes were checked once. cost is how many times as long it
// takes as the runs alone, in the same transactions.
func BenchmarkProvenRuns(b *testing.B) {
	const hosts = 10
	for _, records := range []int{100, 1000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			l, err := Open(filepath.Join(b.TempDir(), "ledger.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			bench := &bench{Ledger: l, t: b}
			signers := make([]*signer, hosts)
			for host := range hosts {
				bench.enrol(host, fleet.DefaultNamespace)
				signers[host] = newSigner(host, byte(host))
			}
			alone, proven, record, bytes := time.Duration(0), time.Duration(0), 0, 0
			runs := func() Entry {
				data, err := Encode(recordRuns(hosts, record, records))
				if err != nil {
					b.Fatal(err)
				}
				record += records
				bench.next++
				return Entry{Index: bench.next, Term: 1, Data: data}
			}
			for b.Loop() {
				entry := runs()
				began := time.Now()
				l.Apply([]Entry{entry})
				alone += time.Since(began)

				entries := []Entry{runs()}
				var blocks []*proof.Block
				for _, s := range signers {
					blocks = append(blocks, s.runs(record, records/hosts))
				}
				began = time.Now()
				for _, block := range blocks {
					if err := block.Check(); err != nil {
						b.Fatal(err)
					}
					body := block.Encode()
					bytes = len(body)
					data, err := Encode(&RecordProofs{Host: block.Host, Blocks: [][]byte{body}, At: noon})
					if err != nil {
						b.Fatal(err)
					}
					bench.next++
					entries = append(entries, Entry{Index: bench.next, Term: 1, Data: data})
				}
				l.Apply(entries)
				proven += time.Since(began)
			}
			b.ReportMetric(float64(proven)/float64(alone), "cost")
			b.ReportMetric(float64(bytes)/float64(records/hosts), "B/line")
		})
	}
}

// runs signs what became of runs as agents tell of them.
func (s *signer) runs(first, n int) *proof.Block {
	b := &proof.Block{Cluster: proofCluster, Host: s.host, Chain: s.chain, First: s.lines + 1, Before: s.head, At: noon, Journal: fleet.JournalID(hostID(9)), Sequence: s.lines}
	for i := range n {
		run := ranRun(1, first+i)
		line := proof.LineOf(&run, &proof.Hash{1, 2, 3})
		b.Lines = append(b.Lines, proof.Entry{Line: &line})
	}
	b.Sign(s.key)
	s.lines, s.head = b.Last(), b.After
	return b
}
