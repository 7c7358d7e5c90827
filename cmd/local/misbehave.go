package main

import (
	"fmt"
	"net/http"

	"example.com/gmailgrant/internal/fakegoogle"
)

// gmailFaults are Gmail's refusals that the functions hand on at once, by the
// reason that a front end then sees. The values are Gmail's own reasons:
// https://developers.google.com/workspace/gmail/api/guides/handle-errors.
var gmailFaults = map[string]string{
	"rate_limited":   "dailyLimitExceeded",
	"domain_policy":  "domainPolicy",
	"gmail_disabled": "accessNotConfigured",
}

// serveRevoke does what the user can do in his Google account: end every grant.
func (g *google) serveRevoke(w http.ResponseWriter, r *http.Request) {
	g.RevokeAccess(r.FormValue("sub"))
	w.WriteHeader(http.StatusNoContent)
}

// serveFault makes the next list call at the stand-in's Gmail fail.
func (g *google) serveFault(w http.ResponseWriter, r *http.Request) {
	reason, known := gmailFaults[r.FormValue("reason")]
	if !known {
		http.Error(w, "no such fault", http.StatusBadRequest)
		return
	}
	g.Inject(fakegoogle.Fault{
		Op:     "gmail.list",
		Times:  1,
		Status: http.StatusForbidden,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   fmt.Sprintf(`{"error":{"code":403,"message":"%[1]s","errors":[{"domain":"usageLimits","reason":%[1]q,"message":"%[1]s"}]}}`, reason),
	})
	w.WriteHeader(http.StatusNoContent)
}
