package listmessages

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffBounds(t *testing.T) {
	for n, span := range map[int]time.Duration{
		1: 250 * time.Millisecond, 2: 500 * time.Millisecond, 3: time.Second, 4: 2 * time.Second, 7: 16 * time.Second, 8: 16 * time.Second, 20: 16 * time.Second,
	} {
		var longest time.Duration
		for range 1000 {
			d := backoff(n, 0)
			if d < 0 || d >= span {
				t.Fatalf("try %d: %s, want less than %s", n, d, span)
			}
			longest = max(longest, d)
		}
		if longest < span/2 { // of a thousand: jitter over the whole span
			t.Errorf("try %d: never longer than %s of %s", n, longest, span)
		}
		if d := backoff(n, time.Hour); d != time.Hour {
			t.Errorf("try %d: %s though Gmail asked for an hour", n, d)
		}
	}
}

// retrying runs retry in a bubble, where waiting takes no time, and returns how
// often it tried and how long that took.
func retrying(t *testing.T, within time.Duration, failures []failure) (tries int, took time.Duration, last *failure) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		last = Clock{}.retry(t.Context(), start.Add(within), func() *failure {
			tries++
			if tries > len(failures) {
				return nil
			}
			return &failures[tries-1]
		})
		took = time.Since(start)
	})
	return tries, took, last
}

func TestRetry(t *testing.T) {
	passing, final := failure{retry: true}, failure{}
	asked := func(d time.Duration) failure { return failure{retry: true, retryAfter: d} }
	progress := failure{retry: true, progress: true}
	for _, row := range []struct {
		name     string
		within   time.Duration
		failures []failure
		tries    int
		ok       bool
	}{
		{"at once", time.Minute, nil, 1, true},
		{"the second time", time.Minute, []failure{passing}, 2, true},
		{"the last time", time.Minute, []failure{passing, passing, passing, passing}, 5, true},
		{"never", time.Minute, []failure{passing, passing, passing, passing, passing}, 5, false},
		{"for good", time.Minute, []failure{final}, 1, false},
		{"for good later", time.Minute, []failure{passing, final}, 2, false},
		{"asked to wait", time.Minute, []failure{asked(30 * time.Second)}, 2, true},
		{"asked to wait past the deadline", time.Minute, []failure{asked(time.Minute)}, 1, false},
		{"asked to wait to just before it", time.Minute, []failure{asked(time.Minute - 1)}, 2, true},
		{"no time left", 0, []failure{passing}, 1, false},
		{"with progress", time.Hour, []failure{passing, passing, passing, progress, passing, passing, passing}, 8, true},
	} {
		tries, took, last := retrying(t, row.within, row.failures)
		if tries != row.tries || row.ok != (last == nil) {
			t.Errorf("%s: %d tries, %+v", row.name, tries, last)
		}
		if took > row.within {
			t.Errorf("%s: went on for %s, past the deadline of %s", row.name, took, row.within)
		}
	}
}

// Waiting ends when the client leaves, and nothing is tried after that.
func TestRetryEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		tries := 0
		go func() {
			synctest.Wait()
			leave()
		}()
		start := time.Now()
		f := Clock{}.retry(ctx, start.Add(time.Hour), func() *failure {
			tries++
			if ctx.Err() != nil {
				return &failure{}
			}
			return &failure{retry: true, retryAfter: 30 * time.Minute}
		})
		if f == nil || tries > 2 || time.Since(start) != 0 {
			t.Errorf("%d tries, %+v, after %s", tries, f, time.Since(start))
		}
	})
}
