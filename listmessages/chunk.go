package listmessages

import (
	"context"
	"errors"
	"slices"
	"strconv"
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
	entries   []entry
	results   []result // by entry; shorter if the rest is put off
	exhausted bool     // what is missing was asked for as often as may be
	err       error    // why it could not be had
	done      chan struct{}
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
	pending := make([]int, 0, len(c.entries)) // indexes of entries still to be got
	for i, e := range c.entries {
		if e.id != "" {
			pending = append(pending, i)
			c.results[i].failure = &failure{reason: endpoint.UpstreamUnavailable, cause: errors.New("not asked for")}
		}
	}
	if len(pending) == 0 {
		return
	}
	var last *failure
	c.err = d.access.call(ctx, func(ctx context.Context, authorization string) *failure {
		before := len(pending)
		last = d.try(ctx, c, &pending, authorization)
		pending = c.cut(pending, d.maxMessage)
		if len(pending) == 0 {
			return nil
		}
		last.progress = len(pending) < before
		return last
	})
	c.exhausted = last != nil && last.exhausted
}

// cut puts off the end of a chunk that holds more than most bytes, which is more
// than an answer can: the next answer begins there. It returns what of pending
// is left.
func (c *chunk) cut(pending []int, most int) []int {
	size := 0
	for i, r := range c.results {
		if size += len(r.message); size <= most {
			continue
		}
		clear(c.results[i:])
		c.results = c.results[:i]
		return slices.DeleteFunc(pending, func(k int) bool { return k >= i })
	}
	return pending
}

// mayBeAtFault reports whether a failure can be the message's own: Gmail
// answered for it alone, and asking again did not help, or won't.
func (c *chunk) mayBeAtFault(f *failure) bool {
	return f.part && (f.final() || f.reason == endpoint.UpstreamUnavailable && c.exhausted)
}

// gave reports whether Gmail gave any message of the chunk, or said that it is
// gone.
func (c *chunk) gave() bool {
	for i, r := range c.results {
		if c.entries[i].id != "" && r.failure == nil {
			return true
		}
	}
	return false
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
		if f != nil && !f.part { // the whole batch: stop asking for now
			for _, i := range rest {
				c.results[i].failure = f
			}
			again = append(again, rest...)
			break
		}
	}
	slices.Sort(again)
	*pending = again
	return worst
}

// tryBatch asks for one batch and returns which of it to ask for again, and why.
func (d *details) tryBatch(ctx context.Context, c *chunk, turn []int, authorization string) (again []int, worst *failure) {
	ids := make([]string, len(turn))
	for k, i := range turn {
		ids[k] = c.entries[i].id
	}
	results, err := d.batch(ctx, ids, authorization)
	if err != nil {
		worst = d.lister.failed(err)
		results = slices.Repeat([]result{{failure: worst}}, len(turn))
	}
	for k, i := range turn {
		c.results[i] = results[k]
		f := results[k].failure
		if f != nil && f.part && f.status != 0 { // which the transport can't see
			endpoint.RecordOf(ctx).UpstreamFailed(strconv.Itoa(f.status))
		}
		if f == nil || f.part && f.final() {
			continue // asking again won't change it
		}
		again = append(again, i)
		worst = worse(worst, f)
	}
	if worst != nil && worst.throttled() {
		d.pace.slowDown()
	}
	return again, worst
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
