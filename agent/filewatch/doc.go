// Package filewatch turns files that appear or change into orders to run a task, each once, whether the agent was there to see it or not.
//
// What was seen of each file is kept on disk together with the orders that
// nobody has carried out yet, in one file that is replaced as a whole. So a
// change is ordered once: before the crash or after it. A file counts when it
// has been still for a second, because programs write in pieces. Files are
// looked at, never opened.
package filewatch
