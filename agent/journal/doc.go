// Package journal provides the agent's memory: what was decided and done is on
// disk before it is done, and waits there until a collector has it.
//
// A journal is a directory of append-only segments. Each record has a sequence
// number, and each change of a run is one record that carries the whole run,
// so that the newest record of a run is all that has to travel:
//
//	Record(run begun)   ─┐
//	Record(run running)  ├─► one writer: frame, write, fdatasync ─► step(state)
//	Record(run ran)     ─┘   (many callers share one fdatasync)        │
//	                                                                   ▼
//	        Outbox(after) ◄─ segments on disk ─ Acknowledge(seq) removes them
//
// A stint says from when on a task is due. It travels like the records of runs
// and among them, so that whoever has heard of an instant has heard of all that
// were due before it. For that a record that a later one made superfluous still
// travels, unless both do at once.
//
// What the scheduler wants to know in its next life beside that stands in memos,
// one of each task, and orders that have no run to show for them are remembered
// when they are carried out. Neither travels.
//
// A segment begins with a checkpoint of the state: what was last decided per
// task, which runs are open and what is remembered. Whatever comes before may
// therefore go as soon as it is acknowledged, and a damaged segment costs at most
// its own records.
//
// While the collectors are away the older segments become dense: of each run only
// what must still travel, compressed. An outcome takes about 80 bytes then, so a
// month of one a second takes about 200 MiB of the 1 GiB that there is, and what
// waits takes no memory at all.
//
// Space is taken before it is needed: segments are written full of zeros when
// they are made, and one spare segment is kept for outcomes. When the disk is
// full nothing begins (ErrFull), and what already runs can still end.
//
// An fsync that fails is never repeated, because the second one lies: the
// journal calls its Fatal function and refuses everything from then on.
package journal
