// Package prove keeps what this host signed of its runs, and signs it before the journal forgets what it is about.
//
//	journal ── records ──► Keeper.Add ── signed, synced ──► segments on disk
//	   ▲                                                        │
//	   └── may forget them, now                      Undelivered│ ▲ Delivered
//	                                                            ▼ │
//	                                                        collectors
//
// A block says through which record of the journal it speaks. So whoever takes it
// up after a crash goes on behind the last block on disk: no record is spoken of
// twice, and none is left out. Where the directory, the key or the host are
// others than before, another chain begins.
//
// Segments hold about 1 MiB each. What the collectors have is kept as long as
// there is room; what they have not is never dropped: when there is much of it
// nothing more is signed, and the journal keeps its records meanwhile.
package prove
