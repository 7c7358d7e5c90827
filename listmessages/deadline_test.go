package listmessages

import (
	"context"
	"testing"
	"time"
)

// TestDeadlineOfLister: LIST_DEADLINE or the platform's time-out, whichever is
// first, the latter less a second to end the answer in.
func TestDeadlineOfLister(t *testing.T) {
	start := time.Now()
	l := &Lister{Clock: Clock{Now: func() time.Time { return start }}, timeout: 20 * time.Second}
	for platform, want := range map[time.Duration]time.Duration{
		0:                  20 * time.Second, // none
		time.Hour:          20 * time.Second,
		21*time.Second + 1: 20 * time.Second,
		21 * time.Second:   20 * time.Second,
		21*time.Second - 1: 20*time.Second - 1,
		20 * time.Second:   19 * time.Second,
		5 * time.Second:    4 * time.Second,
	} {
		ctx := context.Background()
		if platform > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, start.Add(platform))
			defer cancel()
		}
		if got := l.deadline(ctx).Sub(start); got != want {
			t.Errorf("platform %s: %s, want %s", platform, got, want)
		}
	}
}
