package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/gmailgrant/internal/fakegoogle"
)

// longerThanAnAnswer is more than the functions put into one answer.
const longerThanAnAnswer = 10_000_000

// faultsNamed is what the page can order of the stand-in's Gmail; nil if there is
// no such name. Names that are a reason of the functions show a front end that
// reason. sub is who ordered it.
func (g *google) faultsNamed(name, sub string) []fakegoogle.Fault {
	switch name {
	case "rate_limited":
		return []fakegoogle.Fault{refusal("dailyLimitExceeded")}
	case "domain_policy":
		return []fakegoogle.Fault{refusal("domainPolicy")}
	case "gmail_disabled":
		return []fakegoogle.Fault{refusal("accessNotConfigured")}
	case "throttled": // for longer than anybody waits
		return []fakegoogle.Fault{putOff("1800")}
	case "throttled_briefly": // for longer than the functions wait, but not the front end
		return []fakegoogle.Fault{putOff("25")}
	case "revoked": // while the list is being read, once a part of it has been delivered
		revoke := func(*http.Request) { g.RevokeAccess(sub) }
		return []fakegoogle.Fault{{Op: "gmail.batch", After: 2, Times: 1, Hold: revoke}}
	case "unreadable": // one message that Gmail doesn't give, one that fits into no answer
		return []fakegoogle.Fault{
			{Op: "gmail.batch.part", After: 3, Times: 1, Status: http.StatusBadRequest},
			{Op: "gmail.batch.part", After: 6, Times: 1, Status: http.StatusOK, Body: strings.Repeat(" ", longerThanAnAnswer)},
		}
	case "slow":
		return []fakegoogle.Fault{{Op: "gmail.batch", Times: 4, Delay: time.Second}}
	}
	return nil
}

// putOff makes the third batch one that is to be sent again after some seconds.
func putOff(seconds string) fakegoogle.Fault {
	later := http.Header{"Retry-After": {seconds}}
	return fakegoogle.Fault{Op: "gmail.batch", After: 2, Times: 1, Status: http.StatusTooManyRequests, Header: later}
}

// refusal makes the next list call fail with one of Gmail's own reasons that the
// functions hand on at once:
// https://developers.google.com/workspace/gmail/api/guides/handle-errors.
func refusal(reason string) fakegoogle.Fault {
	return fakegoogle.Fault{
		Op:     "gmail.list",
		Times:  1,
		Status: http.StatusForbidden,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   fmt.Sprintf(`{"error":{"code":403,"message":"%[1]s","errors":[{"domain":"usageLimits","reason":%[1]q,"message":"%[1]s"}]}}`, reason),
	}
}

// serveRevoke does what the user can do in his Google account: end every grant.
func (g *google) serveRevoke(w http.ResponseWriter, r *http.Request) {
	g.RevokeAccess(r.FormValue("sub"))
	w.WriteHeader(http.StatusNoContent)
}

// serveFault makes the stand-in's Gmail fail in one way, and in no way ordered
// before.
func (g *google) serveFault(w http.ResponseWriter, r *http.Request) {
	ordered := g.faultsNamed(r.FormValue("name"), r.FormValue("sub"))
	if ordered == nil {
		http.Error(w, "no such fault", http.StatusBadRequest)
		return
	}
	g.order(ordered)
	w.WriteHeader(http.StatusNoContent)
}

// order replaces the faults in force.
func (g *google) order(ordered []fakegoogle.Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, remove := range g.remove {
		remove()
	}
	g.remove = nil
	for _, f := range ordered {
		g.remove = append(g.remove, g.Inject(f))
	}
}
