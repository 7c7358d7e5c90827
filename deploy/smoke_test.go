//go:build gcloud

package deploy

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// answer answers requests that match, in place of a function.
func answer(match func(*http.Request) bool, status int, header http.Header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !match(r) {
			return
		}
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func isPreflight(r *http.Request) bool { return r.Method == http.MethodOptions }

// to matches what is no preflight.
func to(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.URL.Path == path && !isPreflight(r) }
}

func isForeign(r *http.Request) bool { return strings.HasSuffix(r.Header.Get("Origin"), ".invalid") }

// checkSmoke: functions that answer wrongly don't pass, each for its own reason;
// nothing that somebody could use is shown.
func (w *world) checkSmoke(t *testing.T) {
	const problem = "application/problem+json"
	telling := http.Header{"Set-Cookie": {"__Host-gmailgrant=sealed"}, "Content-Type": {"application/json"}}
	for _, test := range []struct {
		name  string
		front http.HandlerFunc
		says  []string
	}{
		{"another client", answer(to("/authurl"), 200, telling, `{"authorization_url": "https://accounts.google.com/?client_id=1&redirect_uri=x&state=sealed"}`),
			[]string{"authurl does not answer 200", "HTTP/1.1 200"}},
		{"no preflight", answer(isPreflight, 204, nil, ""), []string{"listmessages does not answer 204"}},
		{"anybody's preflight", answer(isPreflight, 204, http.Header{"Access-Control-Allow-Origin": {"https://*"}}, ""), []string{"listmessages does not answer 204"}},
		{"mail for nobody", answer(to("/listmessages"), 200, telling, `{"messages": []}`), []string{"listmessages does not answer 401"}},
		{"a foreign origin", answer(isForeign, 200, telling, `{}`), []string{"callback does not answer 403"}},
		{"a foreign origin that may read", answer(isForeign, 403, http.Header{"Access-Control-Allow-Origin": {"*"}, "Content-Type": {problem}}, `{"reason": "origin_not_allowed"}`),
			[]string{"a foreign origin may read the answers of callback"}},
		{"a forged state", answer(func(r *http.Request) bool { return r.URL.Query().Has("state") }, 303, telling, ""), []string{"callback does not answer 400"}},
		{"not public", answer(to("/authurl"), 403, nil, "<html>"), []string{"authurl does not answer 200", "does a policy of the organisation forbid it?"}},
		{"secrets out of reach", answer(to("/authurl"), 503, nil, `{"reason": "upstream_unavailable", "detail": "Try again."}`),
			[]string{`"detail": "Try again."`, "Secret Manager does not answer"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.t = t
			defer w.front(test.front)()
			r := w.deployment("-check", "-wait", "0")
			r.wantFailure(test.says...)
			if text := r.stdout + r.stderr; strings.Contains(strings.ToLower(text), "set-cookie") || strings.Contains(text, "sealed") {
				t.Errorf("shows a cookie or a state:\n%s", text)
			}
		})
	}
	t.Run("not there at once", func(t *testing.T) {
		w.t = t
		var asked atomic.Int64
		defer w.front(answer(func(*http.Request) bool { return asked.Add(1) == 1 }, 404, nil, "<html>"))()
		w.deployment("-check", "-wait", "60").wantOK()
		if n := asked.Load(); n != 6 {
			t.Errorf("%d questions, want 6", n)
		}
	})
}
