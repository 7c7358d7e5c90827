package listmessages

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"time"

	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/tokenstore"
)

const (
	// maxPage is the most that Gmail gives in a page.
	maxPage = 500
	// callTimeout bounds one call to Gmail.
	callTimeout = 15 * time.Second
	// listUnits is what a list call costs of Gmail's quota.
	// https://developers.google.com/workspace/gmail/api/reference/quota
	listUnits = 5
	// listFields asks for what is handed on, and nothing else.
	listFields googleapi.Field = "messages(id,threadId),nextPageToken,resultSizeEstimate"
)

// NewService returns a Gmail client for all users, on one transport. The user's
// token goes on each request. address is Gmail's, or a stand-in's; empty means
// Google's.
func NewService(client *http.Client, address string) (*gmail.Service, error) {
	opts := []option.ClientOption{option.WithHTTPClient(client)}
	if address != "" {
		opts = append(opts, option.WithEndpoint(address))
	}
	return gmail.NewService(context.Background(), opts...)
}

// A Lister lists messages of any user. It does not change once made and is safe
// for concurrent use.
type Lister struct {
	Store *tokenstore.Store
	Gmail *gmail.Service
	Clock Clock
}

// A Page is a part of a list.
type Page struct {
	Messages           []*gmail.Message // ID and ThreadId only
	ResultSizeEstimate int64            // of the whole list, by Gmail
	NextPageToken      string           // where the list goes on; empty at its end
}

// errDeadline ends a listing for which there is no time left.
var errDeadline = &endpoint.Problem{Reason: endpoint.UpstreamUnavailable, Err: errors.New("the deadline of the listing is reached")}

// Pages lists the messages that match q in the mailbox of a grant, in as few
// pages as Gmail allows, until deadline. Each page is yielded as it arrives; none
// is kept. An error is yielded once, at the end: what was yielded before stays
// good, and the list goes on at the NextPageToken of the last page.
func (l *Lister) Pages(ctx context.Context, user, grantID string, q Query, deadline time.Time) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, deadline.Sub(l.Clock.now()))
		defer cancel()
		a, at, err := l.begin(ctx, user, grantID, q, deadline)
		if err != nil {
			yield(Page{}, err)
			return
		}
		defer a.wait()

		for left := q.MaxResults; ; {
			page, next, err := l.page(ctx, a, q, at, left)
			if err != nil {
				yield(Page{}, err)
				return
			}
			left -= min(left, len(page.Messages))
			if next != (cursor{}) {
				page.NextPageToken = next.encode(user, q)
			}
			enough := q.MaxResults > 0 && left == 0
			if !yield(page, nil) || enough || next == (cursor{}) {
				return
			}
			at = next
		}
	}
}

func (l *Lister) begin(ctx context.Context, user, grantID string, q Query, deadline time.Time) (*access, cursor, error) {
	at, err := decodeCursor(user, q)
	if err != nil {
		return nil, at, err
	}
	token, err := l.Store.Token(ctx, user, grantID, "")
	if err != nil {
		return nil, at, endpoint.ForUser(err, user)
	}
	if q.Q != "" && slices.Contains(token.Grant.Scopes, tokenstore.MetadataScope) {
		token.Wait()
		return nil, at, endpoint.Invalid("The parameter q can't be used: the grant holds gmail.metadata, with which Gmail allows no query.")
	}
	return &access{lister: l, user: user, grantID: grantID, token: token, deadline: deadline}, at, nil
}

// page fetches the page at a cursor, at most left messages of it unless left is
// 0, and says where the list goes on.
func (l *Lister) page(ctx context.Context, a *access, q Query, at cursor, left int) (Page, cursor, error) {
	var answer *gmail.ListMessagesResponse
	err := a.call(ctx, listUnits, func(ctx context.Context, authorization string) (err error) {
		answer, err = l.list(ctx, q, at, pageSize(at, left), authorization)
		return err
	})
	if err != nil {
		return Page{}, at, err
	}
	if answer.NextPageToken != "" && answer.NextPageToken == at.pageToken {
		return Page{}, at, &endpoint.Problem{Reason: endpoint.UpstreamUnavailable, Err: errors.New("Gmail names the same page as the next one")}
	}
	messages := rest(answer.Messages, at.after)
	next := cursor{pageToken: answer.NextPageToken}
	if left > 0 && len(messages) > left {
		messages = messages[:left]
		next = cursor{pageToken: at.pageToken, after: messages[left-1].Id}
	}
	return Page{Messages: messages, ResultSizeEstimate: answer.ResultSizeEstimate}, next, nil
}

// pageSize is how many messages to ask for. To go on in the middle of a page
// takes the page as long as it can be, so that the message to go on after is in
// it.
func pageSize(at cursor, left int) int64 {
	if left == 0 || at.after != "" {
		return maxPage
	}
	return int64(min(left, maxPage))
}

// rest is what follows the message with this ID; everything if it is not there.
func rest(messages []*gmail.Message, id string) []*gmail.Message {
	i := slices.IndexFunc(messages, func(m *gmail.Message) bool { return m.Id == id })
	return messages[i+1:]
}

func (l *Lister) list(ctx context.Context, q Query, at cursor, size int64, authorization string) (*gmail.ListMessagesResponse, error) {
	call := l.Gmail.Users.Messages.List("me").MaxResults(size).Fields(listFields).Context(ctx)
	if q.Q != "" {
		call.Q(q.Q)
	}
	if len(q.LabelIDs) > 0 {
		call.LabelIds(q.LabelIDs...)
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
