// Command fleetctl asks the collectors which host runs what, and gives, changes and watches tasks.
//
// Every command is the same three paragraphs: newXCommand says how it is
// called, its options say which flags it takes, and its run does it with the
// one client of the API. What a command prints is a value; --output decides
// whether it becomes a table for people or JSON or YAML for programs.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Set by the linker: -ldflags "-X main.version=… -X main.commit=…".
var (
	version = "dev"
	commit  = "unknown"
)

func main() { os.Exit(command()) }

// command is main without the exit.
func command() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now, zone: time.Local}
	if fd := int(os.Stdout.Fd()); term.IsTerminal(fd) {
		p.terminal = true
		if width, _, err := term.GetSize(fd); err == nil {
			p.width = width
		}
	}
	return p.run(ctx, os.Args[1:])
}

// program is what every command works with: the world outside, and the
// settings that follow from it.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	zone           *time.Location // in which people read times
	terminal       bool           // stdout is one
	width          int            // of the terminal, in columns; zero: unknown

	flags    globalFlags
	settings config
}
