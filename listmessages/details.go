package listmessages

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/flight"
)

// details is one listing with a format: it gets messages in batches while
// further pages still arrive, and delivers them in the order of the list. Only
// fill, which runs in a goroutine for each chunk, is called concurrently.
type details struct {
	lister *Lister
	access *access
	query  Query
	get    string // query of each get
	pace   *pace
	budget int // bytes that may still be delivered
	// maxMessage is the longest message that an answer can hold, in bytes.
	maxMessage int
	yield      func(Part, error) bool

	began    cursor   // where this answer begins
	queue    []entry  // listed, not yet asked for
	flight   []*chunk // asked for, in order
	at       cursor   // where the list goes on after what was delivered
	last     string   // ID of the message delivered last
	estimate int64
}

func newDetails(l *Lister, a *access, q Query, at cursor, budget int, yield func(Part, error) bool) *details {
	return &details{
		lister:     l,
		access:     a,
		query:      q,
		get:        getQuery(q),
		pace:       newPace(),
		budget:     budget,
		maxMessage: budget - 1, // and a line break
		yield:      yield,
		began:      at,
		at:         at,
	}
}

// A listed is what the listing goroutine sends: a page, or its error.
type listed struct {
	page page
	err  error
}

// run delivers everything, or stops with an error.
func (d *details) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	ended := make(chan struct{})
	defer close(ended)
	defer cancel()

	pages, listErr := d.source(ctx, &calls, ended), error(nil)
	for {
		d.start(ctx, &calls, pages == nil)
		if len(d.flight) == 0 && pages == nil {
			d.finish(listErr)
			return
		}
		source := pages
		if len(d.queue) >= maxPage {
			source = nil // enough for now
		}
		select {
		case p, ok := <-source:
			if !ok || p.err != nil {
				pages, listErr = nil, p.err
				break
			}
			d.enqueue(p.page)
		case <-d.head():
			if !d.deliver(ctx) {
				return
			}
		}
	}
}

// source lists pages in the background until run has ended; for messages asked
// for by ID there is nothing to list. What it sends last may be that ctx has
// ended: were that dropped, the list would look complete.
func (d *details) source(ctx context.Context, calls *sync.WaitGroup, ended <-chan struct{}) <-chan listed {
	if len(d.query.IDs) > 0 {
		for _, id := range d.query.IDs {
			d.queue = append(d.queue, entry{id: id})
		}
		d.estimate = int64(len(d.query.IDs))
		return nil
	}
	pages, at := make(chan listed), d.at
	send := func(l listed) (wanted bool) {
		select {
		case pages <- l:
			return true
		case <-ended:
			return false
		}
	}
	calls.Go(func() {
		defer close(pages)
		err := flight.Catch(func() error {
			for p, err := range d.lister.pages(ctx, d.access, d.query, at) {
				if !send(listed{p, err}) {
					break
				}
			}
			return nil
		})
		if err != nil {
			send(listed{err: err})
		}
	})
	return pages
}

func (d *details) enqueue(p page) {
	if d.estimate == 0 {
		d.estimate = p.estimate
	}
	if len(p.messages) == 0 {
		d.queue = append(d.queue, entry{page: p.at, last: true, next: p.next})
		return
	}
	for i, m := range p.messages {
		d.queue = append(d.queue, entry{id: string(m.id), threadID: string(m.threadID), page: p.at, last: i == len(p.messages)-1, next: p.next})
	}
}

// start asks for as many chunks as may be in flight. A chunk that is not full
// waits for the next page, if there is one.
func (d *details) start(ctx context.Context, calls *sync.WaitGroup, listed bool) {
	for {
		size, inFlight := d.pace.now()
		full := len(d.queue) >= size || listed && len(d.queue) > 0
		if !full || len(d.flight) >= inFlight {
			return
		}
		size = min(size, len(d.queue))
		c := &chunk{entries: d.queue[:size:size], results: make([]result, size), done: make(chan struct{})}
		d.queue = d.queue[size:]
		d.flight = append(d.flight, c)
		calls.Go(func() {
			defer close(c.done)
			if err := flight.Catch(func() error { d.fill(ctx, c); return nil }); err != nil {
				c.err = err
			}
		})
	}
}

// head is closed when the chunk to be delivered next is there; nil, which
// blocks, if none is in flight.
func (d *details) head() <-chan struct{} {
	if len(d.flight) == 0 {
		return nil
	}
	return d.flight[0].done
}

// deliver yields the chunk at the head, as far as it goes. One that brought
// nothing but a place further on is worth a part too.
func (d *details) deliver(ctx context.Context) bool {
	c := d.flight[0]
	d.flight = d.flight[1:]
	before := d.at
	messages, stop := d.take(ctx, c)
	part := Part{Messages: messages, ResultSizeEstimate: d.estimate, NextPageToken: d.token()}
	if (len(messages) > 0 || d.at != before) && !d.yield(part, nil) {
		return false
	}
	if stop != nil {
		d.yield(Part{NextPageToken: part.NextPageToken}, stop)
	}
	return stop == nil
}

// take collects the messages of a chunk up to the first that stops the list,
// and moves on past them.
func (d *details) take(ctx context.Context, c *chunk) (messages [][]byte, stop error) {
	for i, e := range c.entries {
		if i == len(c.results) {
			return messages, ErrBytes
		}
		message, err := d.settle(ctx, c, e, c.results[i])
		if err != nil {
			return messages, err
		}
		if message != nil {
			if d.budget -= len(message) + 1; d.budget < 0 {
				return messages, ErrBytes
			}
			messages = append(messages, message)
		}
		d.advance(e, message != nil)
	}
	return messages, nil
}

// settle decides what the client gets of a message: nothing if it is gone.
func (d *details) settle(ctx context.Context, c *chunk, e entry, r result) (message []byte, err error) {
	f := r.failure
	switch {
	case r.tooLarge:
		return d.describe(ctx, e)
	case f == nil && r.message != nil:
		d.last = e.id
		return r.message, nil
	case f == nil:
		return nil, nil
	case c.mayBeAtFault(f) && (c.gave() || d.gives(ctx)):
		return stub{ID: e.id, ThreadID: e.threadID, Unavailable: true}.json(), nil
	case c.err != nil:
		return nil, c.err
	}
	return nil, d.access.problem(f)
}

// gives reports whether Gmail gives messages at the moment: one that is known
// not to be at fault is asked for, once. Without this a message that Gmail can't
// give would hold up the list for good, and an outage would pass for a mailbox
// of such messages.
func (d *details) gives(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	authorization := "Bearer " + string(d.access.current().AccessToken)
	id := d.knownGood(ctx, authorization)
	if id == "" {
		return false
	}
	results, err := d.batch(ctx, []string{id}, authorization)
	return err == nil && results[0].failure == nil
}

// knownGood is the ID of a message that came before: the one delivered last, in
// this answer or the one before, or at the beginning of a later page the first
// of the whole list. It is empty at the beginning of a list.
func (d *details) knownGood(ctx context.Context, authorization string) string {
	switch {
	case d.last != "":
		return d.last
	case d.began.after != "":
		return d.began.after
	case d.began.pageToken == "":
		return ""
	}
	endpoint.RecordOf(ctx).QuotaUnits.Add(listUnits)
	answer, err := d.lister.list(ctx, d.query, cursor{}, 1, authorization)
	if err != nil || len(answer.messages) == 0 {
		return ""
	}
	return string(answer.messages[0].id)
}

// advance moves the place to go on at past a message. Gmail may go on listing
// one that is gone, or not: the place then names it beside the last that is
// there.
func (d *details) advance(e entry, delivered bool) {
	switch {
	case len(d.query.IDs) > 0: // has no places
	case e.last && e.next.after == "":
		d.at = e.next
	case delivered:
		d.at = cursor{pageToken: e.page.pageToken, after: e.id}
	default:
		d.at = cursor{pageToken: e.page.pageToken, after: d.at.after, gone: e.id}
	}
}

// token is the cursor for the client. Messages asked for by ID have none: what
// is missing is known.
func (d *details) token() string {
	if len(d.query.IDs) > 0 {
		return ""
	}
	return d.at.encode(d.access.user, d.query)
}

// finish ends a listing whose pages have come to an end.
func (d *details) finish(err error) {
	part := Part{ResultSizeEstimate: d.estimate, NextPageToken: d.token()}
	d.yield(part, err)
}

// describe asks for what is said of a message that no answer can hold.
func (d *details) describe(ctx context.Context, e entry) ([]byte, error) {
	var m *gmail.Message
	err := d.access.call(ctx, func(ctx context.Context, authorization string) *failure {
		endpoint.RecordOf(ctx).QuotaUnits.Add(getUnits)
		call := d.lister.Gmail.Users.Messages.Get("me", e.id).Format(Minimal).Fields("id,threadId,sizeEstimate").Context(ctx)
		call.Header().Set("Authorization", authorization)
		var err error
		m, err = call.Do()
		if err == nil || gone(err) {
			return nil
		}
		return d.lister.failed(err)
	})
	if err != nil || m == nil {
		return nil, err
	}
	return stub{ID: m.Id, ThreadID: m.ThreadId, SizeEstimate: m.SizeEstimate, TooLarge: true}.json(), nil
}

// gone reports whether Gmail says that there is no such message any more.
func gone(err error) bool {
	ge, ok := errors.AsType[*googleapi.Error](err)
	return ok && (ge.Code == http.StatusNotFound || ge.Code == http.StatusGone)
}
