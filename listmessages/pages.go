package listmessages

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"google.golang.org/api/googleapi"

	"example.com/gmailgrant/internal/endpoint"
)

const (
	// maxPage is the most that Gmail gives in a page.
	maxPage = 500
	// callTimeout bounds one call to Gmail.
	callTimeout = 15 * time.Second
	// listPath is that of users.messages.list. The user is always that of the token.
	// https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
	listPath = "gmail/v1/users/me/messages"
	// What calls cost of Gmail's quota.
	// https://developers.google.com/workspace/gmail/api/reference/quota
	listUnits = 5
	getUnits  = 20
	// listFields asks for what is handed on, and nothing else.
	listFields = "messages(id,threadId),nextPageToken,resultSizeEstimate"
)

// A page is what one list call brought.
type page struct {
	at       cursor // where it begins
	next     cursor // where the list goes on; the zero cursor at its end
	messages []message
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
	var answer listAnswer
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
	if answer.nextPageToken != "" && answer.nextPageToken == at.pageToken {
		return page{}, &endpoint.Problem{Reason: endpoint.UpstreamUnavailable, Err: errors.New("a page of Gmail names itself as the next one")}
	}
	p := page{
		at:       at,
		next:     cursor{pageToken: answer.nextPageToken},
		messages: rest(answer.messages, at),
		estimate: answer.estimate,
	}
	if left > 0 && len(p.messages) > left {
		p.messages = p.messages[:left]
		p.next = cursor{pageToken: at.pageToken, after: string(p.messages[left-1].id)}
	}
	return p, nil
}

// failed classifies the error of a call.
func (l *Lister) failed(err error) *failure {
	f := classify(err, l.Clock.now())
	return &f
}

// pageSize is how many messages to ask for. To go on in the middle of a page
// takes the page as long as it can be, so that the message to go on after is in
// it.
func pageSize(at cursor, left int) int {
	if left == 0 || at.midPage() {
		return maxPage
	}
	return min(left, maxPage)
}

// rest is what follows a place in a page; all of it if the messages that the
// place names are not there.
func rest(messages []message, at cursor) []message {
	for _, id := range []string{at.gone, at.after} {
		if i := slices.IndexFunc(messages, func(m message) bool { return string(m.id) == id }); i >= 0 {
			return messages[i+1:]
		}
	}
	return messages
}

// list asks for a page. gmail/v1 has a method for that, which takes half of the CPU of
// a listing: it makes a large struct of each message, by reflection.
func (l *Lister) list(ctx context.Context, q Query, at cursor, size int, authorization string) (listAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.listURL+"?"+listQuery(q, at, size), nil)
	if err != nil {
		return listAnswer{}, err
	}
	resp, err := l.send(req, authorization)
	if err != nil {
		return listAnswer{}, err
	}
	defer resp.Body.Close()
	body := bytes.NewBuffer(make([]byte, 0, listCapacity(size)))
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, maxListBytes)); err != nil {
		return listAnswer{}, err
	}
	return readList(body.Bytes(), size)
}

// maxListBytes is how much of a list is read: far more than 500 messages.
const maxListBytes = 1 << 20

// listCapacity is what a list of so many messages usually takes to read at once: the
// messages, what is around them, and what ReadFrom wants free to see the end.
func listCapacity(size int) int {
	const message = len(`{"id":"0123456789abcdef","threadId":"0123456789abcdef"},`)
	return size*message + 2*bytes.MinRead
}

func listQuery(q Query, at cursor, size int) string {
	values := url.Values{"maxResults": {strconv.Itoa(size)}, "fields": {listFields}, "prettyPrint": {"false"}}
	if q.Q != "" {
		values.Set("q", q.Q)
	}
	if len(q.LabelIDs) > 0 {
		values["labelIds"] = slices.Sorted(slices.Values(q.LabelIDs)) // for Gmail a page token may belong to their order
	}
	if q.IncludeSpamTrash {
		values.Set("includeSpamTrash", "true")
	}
	if at.pageToken != "" {
		values.Set("pageToken", at.pageToken)
	}
	return values.Encode()
}

// send makes a request to Gmail. Without an error the caller closes the answer's body.
func (l *Lister) send(req *http.Request, authorization string) (*http.Response, error) {
	req.Header.Set("Authorization", authorization)
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	body := resp.Body
	if err := checkResponse(resp); err != nil {
		body.Close()
		return nil, err
	}
	return resp, nil
}

// maxErrorBytes is how much of an error answer is read.
const maxErrorBytes = 64 << 10

// checkResponse returns the error of an answer that is one.
func checkResponse(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	resp.Body = io.NopCloser(io.LimitReader(resp.Body, maxErrorBytes))
	return googleapi.CheckResponse(resp)
}
