package listmessages

import (
	"context"
	"math/rand/v2"
	"time"
)

// Exponential back-off with full jitter.
// https://developers.google.com/workspace/gmail/api/guides/handle-errors#exponential-backoff
const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 16 * time.Second
	maxTries     = 5 // in a row, without any progress
)

// A Clock is time as a parameter. The zero value is the real one.
type Clock struct {
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) // returns early when ctx ends
}

func (c Clock) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c Clock) sleep(ctx context.Context, d time.Duration) {
	if c.Sleep != nil {
		c.Sleep(ctx, d)
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// backoff is how long to wait before try number n+1, n counting from 1: what
// Gmail asked for, or a random part of an exponentially growing span if that is
// longer.
func backoff(n int, asked time.Duration) time.Duration {
	span := min(firstBackoff<<(n-1), maxBackoff)
	return max(asked, rand.N(span))
}

// retry calls try until it succeeds, fails for good, has failed maxTries times
// in a row, or would have to wait past the deadline.
func (c Clock) retry(ctx context.Context, deadline time.Time, try func() *failure) *failure {
	for n := 1; ; n++ {
		f := try()
		if f == nil || !f.retry || ctx.Err() != nil {
			return f
		}
		if f.progress {
			n = 1
		}
		if n == maxTries {
			f.exhausted = true
			return f
		}
		wait := backoff(n, f.retryAfter)
		if !c.now().Add(wait).Before(deadline) {
			return f
		}
		c.sleep(ctx, wait)
		if ctx.Err() != nil {
			return f
		}
	}
}
