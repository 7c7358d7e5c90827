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
	results   []result // by entry
	total     int      // messages in it
	arrived   int      // of them, those that Gmail gave or said to be gone
	exhausted bool     // the rest was asked for as often as may be
	err       error    // why the rest could not be had
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
	defer close(c.done)
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
	c.total = len(pending)
	c.err = d.access.call(ctx, func(ctx context.Context, authorization string) *failure {
		before := len(pending)
		f := d.try(ctx, c, &pending, authorization)
		if f == nil || d.full(c) {
			return nil
		}
		f.progress = len(pending) < before
		return f
	}, &c.exhausted)
	c.arrived = c.total - len(pending)
}

// full reports whether a chunk begins with more than an answer can hold: what
// follows can wait for the next answer.
func (d *details) full(c *chunk) bool {
	size := 0
	for _, r := range c.results {
		if r.failure != nil {
			break
		}
		size += len(r.message)
	}
	return size > d.maxMessage
}

// leaveOut reports whether a message that can't be had is said to be
// unavailable, so that the list goes on after it: because the fault is the
// message's and not Gmail's, which gives others. before says how many messages
// this answer has already.
func (d *details) leaveOut(c *chunk, f *failure, before int64) bool {
	if !f.part {
		return false
	}
	if f.reason == endpoint.InvalidRequest { // who asks for it by ID is told, if it is not too late
		return len(d.query.IDs) == 0 || before > 0
	}
	if f.reason != endpoint.UpstreamUnavailable || !c.exhausted && before > 0 {
		return false // throttled, or there was no time: the next answer begins with it
	}
	return c.arrived > 0 || c.total == 1 && (before > 0 || d.began != cursor{})
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
		if f == nil || f.part && f.reason == endpoint.InvalidRequest {
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
