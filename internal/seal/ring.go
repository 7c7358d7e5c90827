package seal

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"example.com/gmailgrant/internal/flight"
)

const (
	// refreshEvery is how long keys are used before they are fetched again.
	refreshEvery = 10 * time.Minute
	// retryEvery is the pause after a refresh that failed, and between two
	// looks at the latest version that callers can provoke.
	retryEvery = 10 * time.Second
	// refusalTTL is how long it is remembered that a version can't be had.
	refusalTTL = time.Minute
	// warmWait is how long a caller waits for fresh keys when older ones are at
	// hand. The trip goes on without it.
	warmWait = time.Second
	// fetchTimeout bounds one trip to the source. Callers that wait for it
	// leave earlier if their own context ends.
	fetchTimeout = 5 * time.Second
)

// ErrRefused is wrapped by the errors of a [Fetch] that will not change by
// trying again: the version is absent, disabled or destroyed, may not be read,
// or holds no usable key.
var ErrRefused = errors.New("seal: key version refused")

// Latest asks a [Fetch] for the version created last.
const Latest = "latest"

// A Fetch reads one version of the seal key: a decimal number, or [Latest]. It
// returns the number of the version read.
type Fetch func(ctx context.Context, version string) (number int64, key []byte, err error)

// A Ring holds the enabled versions of the seal key: the newest seals, all of
// them open. It is safe for concurrent use and does nothing until it is used.
type Ring struct {
	fetch   Fetch
	baseURL string
	now     func() time.Time
	warn    func(error)
	flight  flight.Group[struct{}]
	looking sync.Mutex // held while Latest is fetched

	mu        sync.Mutex
	keys      map[int64]map[Purpose]cipher.AEAD
	newest    int64               // 0: none yet
	refreshAt time.Time           // when to fetch again
	asked     turn                // the last look at Latest on a caller's word
	stored    turn                // the same for a grant that is stored
	refused   map[int64]time.Time // until when a version counts as not to be had
}

// A turn is something that is not done again before a time.
type turn struct {
	until time.Time
	err   error // how it ended the last time
}

// NewRing returns a ring that reads its keys with fetch. baseURL is the
// environment that states, hand-off codes and sessions belong to. warn is told
// of failures that have no other consequence than older keys being used.
func NewRing(fetch Fetch, baseURL string, now func() time.Time, warn func(error)) *Ring {
	return &Ring{
		fetch:   fetch,
		baseURL: baseURL,
		now:     now,
		warn:    warn,
		keys:    make(map[int64]map[Purpose]cipher.AEAD),
		refused: make(map[int64]time.Time),
	}
}

// Load makes sure that a key is there and not older than ten minutes, as every
// use does. A warm ring keeps its last good keys while the source does not
// answer.
func (r *Ring) Load(ctx context.Context) error {
	cold, due := r.state()
	if !due {
		return nil
	}
	if cold {
		return r.once(ctx, "refresh", r.refresh)
	}
	ctx, cancel := context.WithTimeout(ctx, warmWait)
	defer cancel()
	if err := r.once(ctx, "refresh", r.refresh); err != nil {
		r.warn(err)
	}
	return nil
}

// state reports whether there is no key yet, and whether fetching is due.
func (r *Ring) state() (cold, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest == 0, !r.now().Before(r.refreshAt)
}

func (r *Ring) newestKey(ctx context.Context, p Purpose) (int64, cipher.AEAD, error) {
	if err := r.Load(ctx); err != nil {
		return 0, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest, r.keys[r.newest][p], nil
}

// keyFor returns the key of a version that a value names. What callers can make
// the ring fetch by values of their own is bounded: above the newest version one
// look at the latest every ten seconds, below it one fetch a version, whose
// refusal is remembered for a minute. Grants come from our own database: they have
// looks of their own, so that no caller can make one pass for unreadable that
// another instance sealed with a new key.
func (r *Ring) keyFor(ctx context.Context, p Purpose, version int64) (key cipher.AEAD, newest int64, err error) {
	if err := r.Load(ctx); err != nil {
		return nil, 0, err
	}
	if r.above(version) {
		last, key := &r.asked, "asked"
		if p == Grant {
			last, key = &r.stored, "stored"
		}
		look := func(ctx context.Context) error { return r.takeLook(ctx, last) }
		if err := r.once(ctx, key, look); err != nil && !errors.Is(err, ErrRefused) {
			return nil, 0, err
		}
	}
	if r.mayFetch(version) {
		fetch := func(ctx context.Context) error { return r.fetchOlder(ctx, version) }
		if err := r.once(ctx, strconv.FormatInt(version, 10), fetch); err != nil && !errors.Is(err, ErrRefused) {
			return nil, 0, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, ok := r.keys[version]
	if !ok {
		return nil, 0, ErrNotOpened
	}
	return keys[p], r.newest, nil
}

// above reports whether version is unknown and newer than the newest.
func (r *Ring) above(version int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return version > r.newest && r.keys[version] == nil
}

// takeLook looks at the latest version if that is due, and otherwise repeats
// what the last look ended with. It runs one at a time: who asks during a look
// waits for it, since it may bring the key.
func (r *Ring) takeLook(ctx context.Context, last *turn) error {
	if due, err := r.takeTurn(last); !due {
		return err
	}
	err := r.look(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	last.err = err
	return err
}

func (r *Ring) takeTurn(last *turn) (due bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Before(last.until) {
		return false, last.err
	}
	last.until = now.Add(retryEvery)
	return true, nil
}

// mayFetch reports whether version is older than the newest, unknown, and not
// refused lately.
func (r *Ring) mayFetch(version int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return version < r.newest && r.keys[version] == nil && !r.now().Before(r.refused[version])
}

// fetchOlder asks again whether to fetch: another caller's trip may have ended
// just before this one began.
func (r *Ring) fetchOlder(ctx context.Context, version int64) error {
	if !r.mayFetch(version) {
		return nil
	}
	return r.add(ctx, version)
}

// once runs f for all callers that ask for the same key at the same time. f
// gets a context of its own: one caller that leaves does not fail the others.
func (r *Ring) once(ctx context.Context, key string, f func(context.Context) error) error {
	_, err := r.flight.Do(ctx, key, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// refresh fetches the latest version, then every older one that is known: one
// that was disabled meanwhile stops opening. Whatever can't be reached stays.
func (r *Ring) refresh(ctx context.Context) error {
	if _, due := r.state(); !due {
		return nil // another caller's trip ended just before this one began
	}
	err := r.look(ctx)
	if cold := r.schedule(err); err != nil && (cold || !errors.Is(err, ErrRefused)) {
		return err
	}
	for _, version := range r.olderVersions() {
		_ = r.add(ctx, version) // a refusal drops the key; anything else keeps it until the next time
	}
	return err
}

// schedule sets when to refresh again. A cold ring that got no key tries again
// at once, with the next caller.
func (r *Ring) schedule(err error) (cold bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.refreshAt = r.now().Add(refreshEvery)
	case r.newest != 0:
		r.refreshAt = r.now().Add(retryEvery)
	}
	return r.newest == 0
}

func (r *Ring) olderVersions() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var older []int64
	for v := range r.keys {
		if v != r.newest {
			older = append(older, v)
		}
	}
	return older
}

// look fetches the latest version and makes it the one that seals.
func (r *Ring) look(ctx context.Context) error {
	r.looking.Lock() // an older answer must not replace a newer one
	defer r.looking.Unlock()
	version, keys, err := r.get(ctx, Latest)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[version] = keys
	r.newest = version
	return nil
}

// add fetches one version by its number.
func (r *Ring) add(ctx context.Context, version int64) error {
	_, keys, err := r.get(ctx, strconv.FormatInt(version, 10))
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, ErrRefused) {
		delete(r.keys, version)
		r.refused[version] = r.now().Add(refusalTTL)
	}
	if err != nil {
		return err
	}
	r.keys[version] = keys
	return nil
}

func (r *Ring) get(ctx context.Context, version string) (int64, map[Purpose]cipher.AEAD, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	number, secret, err := r.fetch(ctx, version)
	if err != nil {
		return 0, nil, err
	}
	keys, err := deriveKeys(secret, r.baseURL)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: version %d: %w", ErrRefused, number, err)
	}
	return number, keys, nil
}
