package gmailgrant

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// serve answers a request by an instance that has answered one before. No server is
// between, so that what is counted is the function's own.
func serve(b *testing.B, w *world, r *http.Request) {
	b.Helper()
	handler := w.instance().endpoints[r.URL.Path[1:]]
	ask := func() {
		answer := httptest.NewRecorder()
		if handler.ServeHTTP(answer, r); answer.Code != http.StatusOK {
			b.Fatalf("status %d: %s", answer.Code, answer.Body)
		}
	}
	ask()
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

// BenchmarkAuthURL is a warm one: it calls nobody.
func BenchmarkAuthURL(b *testing.B) {
	w := newWorld(b, 1, nil)
	_, challenge := pkce()
	r := httptest.NewRequest(http.MethodGet, w.base+"/authurl"+handOffQuery(challenge), nil)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Origin", foreignSite)
	serve(b, w, r)
}

// BenchmarkListMessages is a warm one: a call to the stand-in for each page, whose
// work in this process is counted too.
func BenchmarkListMessages(b *testing.B) {
	for _, n := range []int{1, 100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b, 1, nil)
			w.openInbox(b, ada, 600)
			session := w.newBrowser(b).bearerSession(choice{account: ada.Sub})
			r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("%s/listmessages?%s&maxResults=%d", w.base, everything, n), nil)
			r.Header.Set("Authorization", "Bearer "+session)
			serve(b, w, r)
		})
	}
}
