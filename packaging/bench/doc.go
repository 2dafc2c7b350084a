// Package bench provides the benchmarks that need whole programs.
//
// What lateness can be at best is that of a bare loop that starts the same
// program without a shell, fork after fork. On two cores that others used as well
// the medians of five series of one or two rounds were 0.38 to 0.72 of the loop
// through a shell (0.58 to 0.86 s for 1,000). A target of 0.5 therefore leaves
// little or nothing for a begin on disk, three files and an outcome. The agent
// took 0.71 to 0.97 (0.87 to 1.3 s), and 1.16 to 1.45 through a shell, with all
// rivals in one cgroup that went before the rest of the machine.
package bench
