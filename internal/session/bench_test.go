package session_test

import (
	"net/http"
	"testing"
)

// BenchmarkOf opens the session of a request, in the cookie and as Bearer.
func BenchmarkOf(b *testing.B) {
	w := usual(b)
	for name, r := range map[string]*http.Request{
		"cookie": request(http.Header{"Origin": {app}, "Sec-Fetch-Site": {"same-site"}}, w.signedIn(b, ada(app))),
		"Bearer": request(http.Header{"Origin": {app}, "Authorization": {"Bearer " + w.bearer(b, ada(app))}}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Of(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
