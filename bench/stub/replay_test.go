//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReplay(t *testing.T) {
	calls := 0
	p := newReplay(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Query().Has("fail") {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		fmt.Fprint(w, calls)
	}))
	ask := func(method, target, token string) string {
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return fmt.Sprint(w.Code, " ", w.Header().Get("Content-Type"), " ", w.Body)
	}
	for _, row := range []struct{ method, target, token, want string }{
		{"GET", "/gmail/v1/a", "ada", "200 text/plain 1"},
		{"GET", "/gmail/v1/a", "ada", "200 text/plain 1"},
		{"GET", "/gmail/v1/a?q=1", "ada", "200 text/plain 2"},
		{"GET", "/gmail/v1/a", "ben", "200 text/plain 3"},
		{"GET", "/gmail/v1/a", "ben", "200 text/plain 3"},
		{"GET", "/gmail/v1/a?fail", "ben", "429 text/plain 4"},
		{"GET", "/gmail/v1/a?fail", "ben", "429 text/plain 5"},
		{"POST", "/token", "ben", "200 text/plain 6"},
		{"POST", "/token", "ben", "200 text/plain 7"},
	} {
		if got := ask(row.method, row.target, row.token); got != row.want {
			t.Errorf("%s %s of %s: %s, want %s", row.method, row.target, row.token, got, row.want)
		}
	}
}
