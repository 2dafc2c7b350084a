package ledger

import "fmt"

// Fatal is what Apply panics with when the ledger cannot go on: the disk does
// not take the bytes, the file is damaged, or an entry is of a newer version.
// Nothing of the entries given to that Apply was kept. The process must end;
// started again, it applies the same entries to the state before them.
type Fatal struct {
	Path  string // of the ledger's file
	Index uint64 // of the entry that it failed at
	Err   error
}

// Error tells what could not be done.
func (f *Fatal) Error() string {
	return fmt.Sprintf("ledger %s cannot apply entry %d: %v", f.Path, f.Index, f.Err)
}

// Unwrap returns the cause.
func (f *Fatal) Unwrap() error { return f.Err }
