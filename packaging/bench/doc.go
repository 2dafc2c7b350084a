// Package bench provides the benchmarks that need whole programs.
package bench
