package gmailgrant

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/gmail/v1"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/listmessages"
	"example.com/gmailgrant/tokenstore"
)

// A digest is a job: no user is there when it runs.
type digest struct {
	*app
	deliver func(ctx context.Context, user string, unread []gmail.Message) error
}

// A digestReport says how a run went. Users are Google's user IDs.
type digestReport struct {
	Delivered int      `json:"delivered"`
	Dead      []string `json:"dead"`   // grants that are no more: these users have to connect again
	Failed    []string `json:"failed"` // the log says why; the next run may succeed
	Cut       bool     `json:"cut"`    // further users could not be listed
}

// Post delivers every user's unread messages of the last day, eight users at a
// time, and of each at most as many as a minute of Gmail's quota allows for.
func (d *digest) Post(w http.ResponseWriter, r *http.Request) error {
	report := digestReport{Dead: []string{}, Failed: []string{}}
	var mu sync.Mutex
	var work errgroup.Group
	work.SetLimit(8)
	for user, err := range d.store.Users(r.Context()) {
		if err != nil {
			report.Cut = true
			d.log.Error("digest", "error", err.Error())
			break // what was delivered is not to be delivered again
		}
		work.Go(func() error {
			err := d.deliverTo(r.Context(), user)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				report.Delivered++
			case errors.Is(err, tokenstore.ErrRevoked) || errors.Is(err, tokenstore.ErrNotConnected):
				report.Dead = append(report.Dead, user)
			default:
				report.Failed = append(report.Failed, user)
				d.log.Warn("digest", "user", user, "error", err.Error())
			}
			return nil
		})
	}
	_ = work.Wait() // what failed is in the report
	return endpoint.WriteJSON(w, report)
}

func (d *digest) deliverTo(ctx context.Context, user string) error {
	query := listmessages.Query{
		Q:               "newer_than:1d",
		LabelIDs:        []string{"UNREAD"},
		MaxResults:      299,
		Format:          listmessages.Metadata,
		MetadataHeaders: []string{"From", "Subject"},
	}
	var unread []gmail.Message
	for part, err := range d.lister.List(ctx, user, tokenstore.AnyGrant, query, listmessages.Limits{}) {
		if err != nil {
			return err
		}
		for _, raw := range part.Messages {
			var m gmail.Message
			if err := json.Unmarshal(raw, &m); err != nil {
				return err
			}
			unread = append(unread, m)
		}
	}
	return d.deliver(ctx, user, unread)
}
