// Package taskfile turns the files people write into tasks and tasks into the one canonical file, and says of every mistake on which line and in which column it stands.
//
// A file is YAML (one task a document, documents parted by ---) or JSON (one
// task, or a list of them); both are the same document and are read by the
// same table of fields. Reading is strict: what is not in the table, of
// another type, written twice or hidden behind an anchor, an alias or a tag is
// an error, and all errors of a file come together.
//
//	bytes → documents → nodes with positions → table of fields → fleet.Task → Validate
package taskfile
