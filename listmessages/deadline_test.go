package listmessages

import (
	"context"
	"testing"
	"time"
)

// TestDeadlineOfHandler: LIST_DEADLINE or the platform's time-out, whichever is
// first, the latter less a margin to end the answer in.
func TestDeadlineOfHandler(t *testing.T) {
	const setting = 20 * time.Second
	start := time.Now()
	h := &Handler{Lister: &Lister{Clock: Clock{Now: func() time.Time { return start }}}, Deadline: setting}
	for platform, want := range map[time.Duration]time.Duration{
		0:                    setting, // none
		time.Hour:            setting,
		setting + margin + 1: setting,
		setting + margin:     setting,
		setting + margin - 1: setting - 1,
		setting:              setting - margin,
		5 * time.Second:      5*time.Second - margin,
	} {
		ctx := context.Background()
		if platform > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, start.Add(platform))
			defer cancel()
		}
		if got := h.deadline(ctx).Sub(start); got != want {
			t.Errorf("platform %s: %s, want %s", platform, got, want)
		}
	}
}
