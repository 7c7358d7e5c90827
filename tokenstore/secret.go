package tokenstore

import "log/slog"

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
