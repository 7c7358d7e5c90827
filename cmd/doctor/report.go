package main

import (
	"fmt"
	"io"
	"strings"
)

// A status is how bad something is. As a number it is the exit status.
type status int

const (
	fine status = iota
	warned
	failed
)

// A report prints what was found, a line a check, and remembers the worst.
type report struct {
	out   io.Writer
	worst status
}

func (r *report) ok(check, format string, args ...any)   { r.line("ok", fine, check, format, args) }
func (r *report) note(check, format string, args ...any) { r.line("note", fine, check, format, args) }
func (r *report) warn(check, format string, args ...any) { r.line("warn", warned, check, format, args) }
func (r *report) fail(check, format string, args ...any) { r.line("FAIL", failed, check, format, args) }

func (r *report) line(word string, s status, check, format string, args []any) {
	r.worst = max(r.worst, s)
	text := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ") // an error may have several lines
	fmt.Fprintf(r.out, "%-4s  %s: %s\n", word, check, text)
}

// group looks at several things, and prints one line if all of them are fine.
func (r *report) group(check, allFine string, look func()) {
	before := r.worst
	r.worst = fine
	look()
	if r.worst == fine {
		r.ok(check, "%s", allFine)
	}
	r.worst = max(r.worst, before)
}
