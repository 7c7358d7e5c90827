package tokenstore

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "(redacted)"

// A Secret is a string that must not be shown: printing, logging or marshalling
// one gives "(redacted)". Convert it to a string to use it.
type Secret string

// String returns "(redacted)".
func (Secret) String() string { return redacted }

// GoString returns "(redacted)".
func (Secret) GoString() string { return redacted }

// LogValue returns "(redacted)".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "(redacted)".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// Format writes "(redacted)" for every verb: fmt shows the value itself for one
// that does not fit a string.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// fmt passes by the methods of unexported fields, so that what holds secrets in
// such has to be printed by a method of its own.

// Format writes what identifies the grant, whatever the verb.
func (g Grant) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "grant %s of user %s", g.ID, g.User)
}

// Format writes the client's ID, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "client "+c.ID) }
