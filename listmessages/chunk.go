package listmessages

import (
	"context"
	"errors"
	"slices"
	"sync"

	"example.com/gmailgrant/internal/endpoint"
)

const (
	// Batches start at 25 messages, two in flight: what real Gmail takes from
	// cold. Each throttle makes them smaller, down to minBatch, one at a time.
	maxBatch    = 25
	minBatch    = 5
	maxInFlight = 2
)

// A pace is how much is asked of Gmail at once in one listing.
type pace struct {
	mu       sync.Mutex
	size     int // messages a batch
	inFlight int // batches
}

func newPace() *pace { return &pace{size: maxBatch, inFlight: maxInFlight} }

func (p *pace) now() (size, inFlight int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size, p.inFlight
}

// slowDown follows a throttle.
func (p *pace) slowDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = max(p.size/2, minBatch)
	p.inFlight = 1
}

// A chunk is a run of listed messages that are got together.
type chunk struct {
	entries []entry
	results []result // by entry
	err     error    // why those that hold a failure could not be had
	done    chan struct{}
}

// An entry is a message on its way to the client, or, without an ID, the end of
// a page that had none.
type entry struct {
	id, threadID string
	page         cursor // where its page begins
	last         bool   // of its page
	next         cursor // where the list goes on after its page, if last
}

// fill gets the results of a chunk. Messages that fail are asked for again,
// together, without those that arrived.
func (d *details) fill(ctx context.Context, c *chunk) {
	defer close(c.done)
	pending := make([]int, 0, len(c.entries)) // indexes of entries still to be got
	for i, e := range c.entries {
		if e.id != "" {
			pending = append(pending, i)
			c.results[i] = malformed("not asked for yet")
		}
	}
	if len(pending) == 0 {
		return
	}
	total := len(pending)
	err := d.access.call(ctx, func(ctx context.Context, authorization string) *failure {
		before := len(pending)
		f := d.try(ctx, c, &pending, authorization)
		if f != nil {
			f.progress = len(pending) < before
		}
		return f
	})
	if err == nil {
		return
	}
	if d.mayLeaveOut(err, total, len(pending)) {
		for _, i := range pending {
			e := c.entries[i]
			c.results[i] = result{message: stub{ID: e.id, ThreadID: e.threadID, Unavailable: true}.json()}
		}
		return
	}
	c.err = err
}

// mayLeaveOut reports whether messages that can't be had are said to be
// unavailable, so that the list goes on after them: others arrive, so that the
// fault is theirs and not Gmail's.
func (d *details) mayLeaveOut(err error, total, failed int) bool {
	p := endpoint.AsProblem(err)
	if errors.Is(err, errDeadline) || errors.Is(err, context.Canceled) {
		return false
	}
	if p.Reason != endpoint.UpstreamUnavailable && (p.Reason != endpoint.InvalidRequest || len(d.query.IDs) > 0) {
		return false
	}
	return failed < total || failed == 1 && d.delivered.Load() > 0
}

// try asks once for the pending messages, in batches of the size of the moment,
// and keeps in pending those that have to be asked for again.
func (d *details) try(ctx context.Context, c *chunk, pending *[]int, authorization string) *failure {
	var worst *failure
	var again []int
	for rest := *pending; len(rest) > 0; {
		size, _ := d.pace.now()
		turn := rest[:min(size, len(rest))]
		rest = rest[len(turn):]
		failed, f := d.tryBatch(ctx, c, turn, authorization)
		again = append(again, failed...)
		worst = worse(worst, f)
		if f != nil && len(failed) == len(turn) { // a whole batch: stop asking for now
			again = append(again, rest...)
			break
		}
	}
	slices.Sort(again)
	*pending = again
	return worst
}

// tryBatch asks for one batch and returns which of it failed, and why.
func (d *details) tryBatch(ctx context.Context, c *chunk, turn []int, authorization string) (failed []int, worst *failure) {
	ids := make([]string, len(turn))
	for k, i := range turn {
		ids[k] = c.entries[i].id
	}
	results, err := d.batch(ctx, ids, authorization)
	if err != nil {
		f := d.lister.failed(err)
		if f.throttled() {
			d.pace.slowDown()
		}
		return turn, f
	}
	for k, i := range turn {
		c.results[i] = results[k]
		if f := results[k].failure; f != nil {
			failed = append(failed, i)
			worst = worse(worst, f)
		}
	}
	if worst != nil && worst.throttled() {
		d.pace.slowDown()
	}
	return failed, worst
}

// worse combines two failures to the one that decides what to do: one that
// trying again won't change, else the one that asks for the longer wait.
func worse(a, b *failure) *failure {
	switch {
	case a == nil:
		return b
	case b == nil, !a.retry:
		return a
	case !b.retry:
		return b
	case b.throttled() && !a.throttled(), b.throttled() == a.throttled() && b.retryAfter > a.retryAfter:
		return b
	}
	return a
}
