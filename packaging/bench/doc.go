// Package bench provides the benchmarks that need whole programs.
//
// What lateness can be at best is that of a bare loop that starts the same
// program without a shell, fork after fork. On two cores it took 0.45 to 0.57 of
// the loop through a shell (580 to 680 ms for 1,000), so a target of 0.5 leaves
// nothing, or a tenth, for a begin on disk, three files and an outcome. The
// agent took 0.79 to 0.83 there (0.87 to 0.95 s), and 1.16 to 1.28 through a
// shell, with its processes before others of the machine.
package bench
