package seal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gmailgrant/internal/seal"
)

var errDown = errors.New("secret manager is down")

// A source is a secret with versions, in memory. Its fetch is what a Ring is
// made with.
type source struct {
	mu       sync.Mutex
	latest   int64
	disabled map[int64]bool
	short    map[int64]bool // versions that hold no usable key
	down     bool
	asked    map[string]int
	gate     chan struct{} // when set, a fetch waits for it
	warned   []error
}

func newSource(latest int64) *source {
	return &source{latest: latest, disabled: map[int64]bool{}, short: map[int64]bool{}, asked: map[string]int{}}
}

func (s *source) fetch(ctx context.Context, version string) (int64, []byte, error) {
	s.mu.Lock()
	s.asked[version]++
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.latest
	if version != seal.Latest {
		var err error
		if n, err = strconv.ParseInt(version, 10, 64); err != nil {
			return 0, nil, err
		}
	}
	switch {
	case s.down:
		return 0, nil, errDown
	case s.disabled[n] || n > s.latest:
		return 0, nil, fmt.Errorf("version %d: %w", n, seal.ErrRefused)
	case s.short[n]:
		return n, make([]byte, seal.MinKeyBytes-1), nil
	}
	return n, key(byte(n)), nil
}

// warn is what a Ring tells its failures to.
func (s *source) warn(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warned = append(s.warned, err)
}

func ignore(error) {}

// set changes the source.
func (s *source) set(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// wantAsked checks what was fetched since the last call of it.
func (s *source) wantAsked(t *testing.T, want map[string]int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !maps.Equal(s.asked, want) {
		t.Errorf("fetched %v, want %v", s.asked, want)
	}
	s.asked = map[string]int{}
}

// sealedBy seals as an instance would that knows version n as the newest.
func sealedBy(t *testing.T, n int64) string {
	t.Helper()
	return mustSeal(t, seal.NewRing(newSource(n).fetch, base, time.Now, ignore), seal.Session, time.Time{}, "by "+strconv.FormatInt(n, 10))
}

// bubble runs a test with a ring on a clock of its own, which time.Sleep moves.
func bubble(t *testing.T, latest int64, test func(t *testing.T, s *source, r *seal.Ring)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(latest)
		test(t, s, seal.NewRing(s.fetch, base, time.Now, s.warn))
	})
}

func open(t *testing.T, r *seal.Ring, value string) error {
	t.Helper()
	_, err := r.Open(t.Context(), seal.Session, value)
	return err
}

// warmUp makes a ring fetch the latest version.
func warmUp(t *testing.T, r *seal.Ring) { mustSeal(t, r, seal.Session, time.Time{}, "x") }

func wantOpen(t *testing.T, r *seal.Ring, value string, want error) {
	t.Helper()
	if err := open(t, r, value); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestNewRingDoesNothing(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, _ *seal.Ring) {
		time.Sleep(time.Hour)
		s.wantAsked(t, map[string]int{})
	})
}

func TestNewestSealsAllOpen(t *testing.T) {
	bubble(t, 3, func(t *testing.T, s *source, r *seal.Ring) {
		for n := range int64(3) {
			o, err := r.Open(t.Context(), seal.Session, sealedBy(t, n+1))
			if err != nil || o.Version != n+1 || o.Newest != 3 {
				t.Errorf("version %d: %+v, %v", n+1, o, err)
			}
		}
		s.wantAsked(t, map[string]int{"latest": 1, "1": 1, "2": 1})
		value := mustSeal(t, r, seal.Session, time.Time{}, "x")
		if !strings.HasPrefix(value, "3.") {
			t.Errorf("sealed %q, want with version 3", value)
		}
		s.wantAsked(t, map[string]int{})
	})
}

// A caller chooses the number in a value: those above the newest cost one look
// at the latest in ten seconds, all together.
func TestAboveNewestOneLook(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
		warmUp(t, r)
		s.wantAsked(t, map[string]int{"latest": 1})
		_, body, _ := strings.Cut(sealedBy(t, 1), ".")
		for n := 2; n < 50; n++ {
			wantOpen(t, r, strconv.Itoa(n)+"."+body, seal.ErrNotOpened)
		}
		s.wantAsked(t, map[string]int{"latest": 1})
		time.Sleep(10*time.Second - time.Nanosecond)
		wantOpen(t, r, "2."+body, seal.ErrNotOpened)
		s.wantAsked(t, map[string]int{})
		time.Sleep(time.Nanosecond)
		wantOpen(t, r, "2."+body, seal.ErrNotOpened)
		s.wantAsked(t, map[string]int{"latest": 1})
	})
}

func TestAboveNewestIsFound(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
		wantOpen(t, r, sealedBy(t, 1), nil)
		s.set(func(s *source) { s.latest = 4 })
		wantOpen(t, r, sealedBy(t, 3), nil) // by way of the latest, 4
		s.wantAsked(t, map[string]int{"latest": 2, "3": 1})
		if value := mustSeal(t, r, seal.Session, time.Time{}, "x"); !strings.HasPrefix(value, "4.") {
			t.Errorf("sealed %q, want with version 4", value)
		}
	})
}

// Requests that come together after a rotation all wait for the one look that
// brings the key: none is told that its genuine value does not open.
func TestAboveNewestTogether(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
		wantOpen(t, r, sealedBy(t, 1), nil)
		s.wantAsked(t, map[string]int{"latest": 1})
		gate := make(chan struct{})
		s.set(func(s *source) { s.latest, s.gate = 2, gate })
		together(t, r, sealedBy(t, 2), gate, nil)
		s.wantAsked(t, map[string]int{"latest": 1})
	})
}

// together opens a value fifty times at once, while fetching waits for gate.
func together(t *testing.T, r *seal.Ring, value string, gate chan struct{}, want error) {
	t.Helper()
	errs := make(chan error, 50)
	for range cap(errs) {
		go func() {
			_, err := r.Open(context.Background(), seal.Session, value)
			errs <- err
		}()
	}
	synctest.Wait()
	close(gate)
	for range cap(errs) {
		if err := <-errs; !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestOneFetchForManyCallers(t *testing.T) {
	for _, row := range []struct {
		name     string
		value    int64
		disabled bool
		want     error
		asked    map[string]int
	}{
		{"cold", 3, false, nil, map[string]int{"latest": 1}},
		{"cold, older", 2, false, nil, map[string]int{"latest": 1, "2": 1}},
		{"cold, disabled", 2, true, seal.ErrNotOpened, map[string]int{"latest": 1, "2": 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, s *source, r *seal.Ring) {
				value := sealedBy(t, row.value)
				gate := make(chan struct{})
				s.set(func(s *source) { s.gate = gate; s.disabled[row.value] = row.disabled })
				together(t, r, value, gate, row.want)
				s.wantAsked(t, row.asked)
			})
		})
	}
}

func TestRefusalIsRememberedAMinute(t *testing.T) {
	bubble(t, 3, func(t *testing.T, s *source, r *seal.Ring) {
		value := sealedBy(t, 1)
		s.set(func(s *source) { s.disabled[1] = true })
		for range 10 {
			wantOpen(t, r, value, seal.ErrNotOpened)
		}
		s.wantAsked(t, map[string]int{"latest": 1, "1": 1})
		s.set(func(s *source) { s.disabled[1] = false })
		time.Sleep(time.Minute - time.Nanosecond)
		wantOpen(t, r, value, seal.ErrNotOpened)
		s.wantAsked(t, map[string]int{})
		time.Sleep(time.Nanosecond)
		wantOpen(t, r, value, nil)
		s.wantAsked(t, map[string]int{"1": 1})
	})
}

func TestFetchedAgainAfterTenMinutes(t *testing.T) {
	bubble(t, 2, func(t *testing.T, s *source, r *seal.Ring) {
		old := sealedBy(t, 1)
		wantOpen(t, r, old, nil)
		s.wantAsked(t, map[string]int{"latest": 1, "1": 1})
		s.set(func(s *source) { s.disabled[1] = true; s.latest = 3 })

		time.Sleep(10*time.Minute - time.Nanosecond)
		wantOpen(t, r, old, nil)
		s.wantAsked(t, map[string]int{})

		time.Sleep(time.Nanosecond)
		wantOpen(t, r, old, seal.ErrNotOpened) // disabled: it stops opening
		if value := mustSeal(t, r, seal.Session, time.Time{}, "x"); !strings.HasPrefix(value, "3.") {
			t.Errorf("sealed %q, want with version 3", value)
		}
		s.wantAsked(t, map[string]int{"latest": 1, "1": 1, "2": 1})
	})
}

// Looks that callers provoke do not put off the refresh in which a disabled
// version is noticed: a thief of an old key could keep it opening for ever.
func TestLooksDoNotPutOffTheRefresh(t *testing.T) {
	old := sealedBy(t, 1)
	above := strings.Replace(sealedBy(t, 1), "1.", "999.", 1)
	bubble(t, 2, func(t *testing.T, s *source, r *seal.Ring) {
		wantOpen(t, r, old, nil)
		s.set(func(s *source) { s.disabled[1] = true })
		for range 3 {
			time.Sleep(4 * time.Minute)
			wantOpen(t, r, above, seal.ErrNotOpened)
		}
		wantOpen(t, r, old, seal.ErrNotOpened)
	})
}

func TestWarmKeepsTheLastGoodKey(t *testing.T) {
	for name, spoil := range map[string]func(*source){
		"disabled": func(s *source) { s.disabled[2] = true },
		"bad":      func(s *source) { s.short[2] = true },
		"down":     func(s *source) { s.down = true },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
				value := mustSeal(t, r, seal.Session, time.Time{}, "x")
				s.wantAsked(t, map[string]int{"latest": 1})
				s.set(func(s *source) { s.latest = 2; spoil(s) })
				time.Sleep(10 * time.Minute)
				for range 5 {
					wantOpen(t, r, value, nil)
					if v := mustSeal(t, r, seal.Session, time.Time{}, "x"); !strings.HasPrefix(v, "1.") {
						t.Errorf("sealed %q, want with version 1", v)
					}
				}
				s.wantAsked(t, map[string]int{"latest": 1}) // not with every request
				if len(s.warned) == 0 {
					t.Error("nobody is told")
				}
				s.set(func(s *source) { s.down = false; clear(s.disabled); clear(s.short) })
				time.Sleep(10 * time.Second)
				if v := mustSeal(t, r, seal.Session, time.Time{}, "x"); !strings.HasPrefix(v, "2.") {
					t.Errorf("sealed %q, want with version 2 once it is good", v)
				}
			})
		})
	}
}

// A latest version that can't be had is no reason to trust an older one that was
// disabled.
func TestOlderVersionsAreCheckedBesideABadLatest(t *testing.T) {
	bubble(t, 2, func(t *testing.T, s *source, r *seal.Ring) {
		old, current := sealedBy(t, 1), sealedBy(t, 2)
		wantOpen(t, r, old, nil)
		s.set(func(s *source) { s.latest = 3; s.disabled[3], s.disabled[1] = true, true })
		time.Sleep(10 * time.Minute)
		wantOpen(t, r, old, seal.ErrNotOpened)
		wantOpen(t, r, current, nil)
	})
}

func TestColdHasNothingToKeep(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*source)
		want  error
	}{
		"disabled": {func(s *source) { s.disabled[1] = true }, seal.ErrRefused},
		"bad":      {func(s *source) { s.short[1] = true }, seal.ErrRefused},
		"down":     {func(s *source) { s.down = true }, errDown},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
				value := sealedBy(t, 1)
				s.set(row.spoil)
				wantOpen(t, r, value, row.want)
				if _, _, err := r.Seal(t.Context(), seal.Session, time.Time{}, nil); !errors.Is(err, row.want) {
					t.Errorf("Seal: %v, want %v", err, row.want)
				}
				s.set(func(s *source) { s.down = false; clear(s.disabled); clear(s.short) })
				wantOpen(t, r, value, nil) // at once: a failure is not kept
			})
		})
	}
}

// That the source is down says nothing about a version: it is no refusal, and
// the next caller asks again.
func TestDownIsNeverRemembered(t *testing.T) {
	bubble(t, 3, func(t *testing.T, s *source, r *seal.Ring) {
		value := sealedBy(t, 1)
		warmUp(t, r)
		s.set(func(s *source) { s.down = true })
		wantOpen(t, r, value, errDown)
		wantOpen(t, r, value, errDown)
		s.set(func(s *source) { s.down = false })
		wantOpen(t, r, value, nil)
	})
}

func TestDownWhileLookingAbove(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
		warmUp(t, r)
		s.set(func(s *source) { s.latest, s.down = 2, true })
		for range 3 { // one look, and what it ended with: the value may be genuine
			wantOpen(t, r, sealedBy(t, 2), errDown)
		}
		s.wantAsked(t, map[string]int{"latest": 2})
		s.set(func(s *source) { s.down = false })
		time.Sleep(10 * time.Second)
		wantOpen(t, r, sealedBy(t, 2), nil)
	})
}

// A source that hangs keeps a warm ring waiting for a short time only.
func TestWarmDoesNotWaitForAHangingSource(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
		value := sealedBy(t, 1)
		wantOpen(t, r, value, nil)
		time.Sleep(10 * time.Minute)
		s.set(func(s *source) { s.gate = make(chan struct{}) })
		start := time.Now()
		wantOpen(t, r, value, nil)
		if took := time.Since(start); took > time.Second {
			t.Errorf("waited %s", took)
		}
		time.Sleep(time.Minute) // the trip has been given up
	})
}

func TestOneCallerLeaves(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
		value := sealedBy(t, 1)
		gate := make(chan struct{})
		s.set(func(s *source) { s.gate = gate })
		ctx, leave := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := r.Open(ctx, seal.Session, value); first <- err }()
		synctest.Wait()
		go func() { _, err := r.Open(context.Background(), seal.Session, value); second <- err }()
		synctest.Wait()
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		close(gate)
		if err := <-second; err != nil {
			t.Errorf("who stayed: %v", err)
		}
		s.wantAsked(t, map[string]int{"latest": 1})
	})
}

// A source that never answers is given up, whether or not a caller waits.
func TestFetchHasADeadline(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *source, r *seal.Ring) {
		s.set(func(s *source) { s.gate = make(chan struct{}) })
		if _, _, err := r.Seal(context.Background(), seal.Session, time.Time{}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want a deadline", err)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	s := newSource(1)
	r := seal.NewRing(s.fetch, base, time.Now, s.warn)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for j := range 20 {
				if i == 0 && j%5 == 4 {
					s.set(func(s *source) { s.latest++ })
				}
				payload := fmt.Sprintf("%d %d", i, j)
				value, _, err := r.Seal(t.Context(), seal.Session, time.Time{}, []byte(payload), "owner")
				if err != nil {
					t.Error(err)
					return
				}
				if o, err := r.Open(t.Context(), seal.Session, value, "owner"); err != nil || string(o.Payload) != payload {
					t.Errorf("%q, %v", o.Payload, err)
				}
			}
		})
	}
	group.Wait()
}
