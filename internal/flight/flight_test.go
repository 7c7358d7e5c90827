package flight_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gmailgrant/internal/flight"
)

const hidden = "ya29.a-token"

// Everybody who asks meanwhile gets what one call brings; who asks later, another.
func TestDoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[int64]
		var calls atomic.Int64
		call := func(context.Context) (int64, error) {
			time.Sleep(time.Second)
			return calls.Add(1), nil
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if v, err := g.Do(t.Context(), "a", call); v != 1 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
			})
		}
		all.Wait()
		if v, err := g.Do(t.Context(), "a", call); v != 2 || err != nil {
			t.Errorf("then %d, %v", v, err)
		}
	})
}

// A caller that leaves gets its own error. The call goes on for the others.
func TestDoOneLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[string]
		call := func(ctx context.Context) (string, error) {
			time.Sleep(time.Minute)
			return "there", ctx.Err()
		}
		first, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		var left sync.WaitGroup
		left.Go(func() {
			if _, err := g.Do(first, "a", call); err != context.DeadlineExceeded {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		if v, err := g.Do(t.Context(), "a", call); v != "there" || err != nil {
			t.Errorf("who stayed got %q, %v", v, err)
		}
		left.Wait()
	})
}

// A panic ends neither the process nor the next call, and its value is not shown.
func TestPanicIsAnError(t *testing.T) {
	var g flight.Group[*int]
	for range 2 {
		_, err := g.Do(t.Context(), "a", func(context.Context) (*int, error) { panic("with " + hidden) })
		p, ok := errors.AsType[*flight.Panic](err)
		if !ok || p.Error() != "panic with a string" {
			t.Fatalf("%v", err)
		}
		if !strings.Contains(p.Stack(), "TestPanicIsAnError") || strings.Contains(p.Stack(), hidden) {
			t.Errorf("stack: %s", p.Stack())
		}
	}
	var none []int
	err := flight.Catch(func() error {
		none[len(none)]++
		return nil
	})
	if err == nil || err.Error() != "panic: runtime error: index out of range [0] with length 0" {
		t.Errorf("%v", err)
	}
	if err := flight.Catch(func() error { return context.Canceled }); err != context.Canceled {
		t.Errorf("%v", err)
	}
}
