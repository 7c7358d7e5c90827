package gmailgrant

import (
	"context"
	"net/http"

	"google.golang.org/api/gmail/v1"

	"example.com/gmailgrant/internal/endpoint"
)

// labels lists the labels of the session's user.
func (a *app) labels(w http.ResponseWriter, r *http.Request) error {
	if _, err := endpoint.Query(r, nil, nil); err != nil { // it has no parameters
		return err
	}
	s, err := a.sessions.Of(r)
	if err != nil {
		return err
	}
	var answer *gmail.ListLabelsResponse
	err = a.lister.Call(r.Context(), s.User, s.GrantID, func(ctx context.Context, authorization string) error {
		call := a.lister.Gmail.Users.Labels.List("me").Fields("labels(id,name,type)").Context(ctx)
		call.Header().Set("Authorization", authorization)
		var err error
		answer, err = call.Do()
		return err
	})
	if err != nil {
		return err
	}
	return endpoint.WriteJSON(w, answer)
}
