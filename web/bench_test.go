package web

import "testing"

// BenchmarkRows renders a list of 200 jobs, the most a page could sensibly
// show, through the whole handler.
func BenchmarkRows(b *testing.B) {
	handler := Handler(&rows{fake{n: 200, text: "/usr/local/bin/backup --all --target s3://backup/db"}}, Options{})
	b.SetBytes(int64(get(handler, "/jobs").Body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		get(handler, "/jobs")
	}
}

func BenchmarkOverview(b *testing.B) {
	handler := Handler(&fake{n: 60, text: "/usr/local/bin/backup --all", lead: "c1"}, Options{})
	b.ReportAllocs()
	for b.Loop() {
		get(handler, "/")
	}
}
