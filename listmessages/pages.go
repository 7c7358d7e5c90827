package listmessages

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"

	"example.com/gmailgrant/internal/endpoint"
)

const (
	// maxPage is the most that Gmail gives in a page.
	maxPage = 500
	// callTimeout bounds one call to Gmail.
	callTimeout = 15 * time.Second
	// What calls cost of Gmail's quota.
	// https://developers.google.com/workspace/gmail/api/reference/quota
	listUnits = 5
	getUnits  = 20
	// listFields asks for what is handed on, and nothing else.
	listFields googleapi.Field = "messages(id,threadId),nextPageToken,resultSizeEstimate"
)

// A page is what one list call brought.
type page struct {
	at       cursor // where it begins
	next     cursor // where the list goes on; the zero cursor at its end
	messages []*gmail.Message
	estimate int64
	more     bool // the listing goes on after it
}

// pages lists the messages that match q, in as few pages as Gmail allows. An
// error ends it: the list goes on at the next cursor of the last page.
func (l *Lister) pages(ctx context.Context, a *access, q Query, at cursor) iter.Seq2[page, error] {
	return func(yield func(page, error) bool) {
		for left := q.limit(); ; {
			p, err := l.page(ctx, a, q, at, left)
			left -= min(left, len(p.messages))
			enough := q.limit() > 0 && left == 0
			p.more = !enough && p.next != (cursor{})
			if !yield(p, err) || !p.more {
				return
			}
			at = p.next
		}
	}
}

// page fetches the page at a cursor, at most left messages of it unless left is
// 0.
func (l *Lister) page(ctx context.Context, a *access, q Query, at cursor, left int) (page, error) {
	var answer *gmail.ListMessagesResponse
	err := a.call(ctx, func(ctx context.Context, authorization string) *failure {
		endpoint.RecordOf(ctx).QuotaUnits.Add(listUnits)
		var err error
		if answer, err = l.list(ctx, q, at, pageSize(at, left), authorization); err != nil {
			return l.failed(err)
		}
		return nil
	})
	if err != nil {
		return page{}, err
	}
	if answer.NextPageToken != "" && answer.NextPageToken == at.pageToken {
		return page{}, &endpoint.Problem{Reason: endpoint.UpstreamUnavailable, Err: errors.New("a page of Gmail names itself as the next one")}
	}
	p := page{
		at:       at,
		next:     cursor{pageToken: answer.NextPageToken},
		messages: rest(slices.DeleteFunc(answer.Messages, isNil), at),
		estimate: answer.ResultSizeEstimate,
	}
	if left > 0 && len(p.messages) > left {
		p.messages = p.messages[:left]
		p.next = cursor{pageToken: at.pageToken, after: p.messages[left-1].Id}
	}
	return p, nil
}

// isNil recognises a null in a list, which is no message.
func isNil(m *gmail.Message) bool { return m == nil }

// failed classifies the error of a call.
func (l *Lister) failed(err error) *failure {
	f := classify(err, l.Clock.now())
	return &f
}

// pageSize is how many messages to ask for. To go on in the middle of a page
// takes the page as long as it can be, so that the message to go on after is in
// it.
func pageSize(at cursor, left int) int64 {
	if left == 0 || at.midPage() {
		return maxPage
	}
	return int64(min(left, maxPage))
}

// rest is what follows a place in a page; all of it if the messages that the
// place names are not there.
func rest(messages []*gmail.Message, at cursor) []*gmail.Message {
	for _, id := range []string{at.gone, at.after} {
		if i := slices.IndexFunc(messages, func(m *gmail.Message) bool { return m.Id == id }); i >= 0 {
			return messages[i+1:]
		}
	}
	return messages
}

func (l *Lister) list(ctx context.Context, q Query, at cursor, size int64, authorization string) (*gmail.ListMessagesResponse, error) {
	call := l.Gmail.Users.Messages.List("me").MaxResults(size).Fields(listFields).Context(ctx)
	if q.Q != "" {
		call.Q(q.Q)
	}
	if len(q.LabelIDs) > 0 {
		call.LabelIds(slices.Sorted(slices.Values(q.LabelIDs))...) // for Gmail a page token may belong to their order
	}
	if q.IncludeSpamTrash {
		call.IncludeSpamTrash(true)
	}
	if at.pageToken != "" {
		call.PageToken(at.pageToken)
	}
	call.Header().Set("Authorization", authorization)
	return call.Do()
}
