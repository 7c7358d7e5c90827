//go:build browser

package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A wire is between the browser and the functions. Lists go the way that the test
// chose last, everything else passes.
type wire struct {
	mu   sync.Mutex
	next listAnswer
}

// A listAnswer answers a list instead of the functions, or with their help.
type listAnswer func(w http.ResponseWriter, r *http.Request, functions http.Handler)

// startOnWire runs the command behind a wire.
func startOnWire(t *testing.T) (*process, *wire) {
	t.Helper()
	var wi wire
	p := startBehind(t, func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
		answer := wi.answer()
		if r.URL.Path != "/listmessages" || answer == nil {
			functions.ServeHTTP(w, r)
			return
		}
		answer(w, r, functions)
	})
	return p, &wi
}

func (wi *wire) answer() listAnswer {
	wi.mu.Lock()
	defer wi.mu.Unlock()
	return wi.next
}

// use answers every list from now on; nil: the functions do.
func (wi *wire) use(answer listAnswer) {
	wi.mu.Lock()
	defer wi.mu.Unlock()
	wi.next = answer
}

// useOnce answers the next list.
func (wi *wire) useOnce(answer listAnswer) {
	wi.use(func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
		wi.use(nil)
		answer(w, r, functions)
	})
}

// lines answers with a list of these objects, and the headers of the functions.
func lines(objects ...object) listAnswer {
	return func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
		writeHead(w, r, functions)
		for _, o := range objects {
			json.NewEncoder(w).Encode(o)
		}
	}
}

// writeHead writes what the functions write before the first line, so that the page
// may read what follows, and returns their whole answer.
func writeHead(w http.ResponseWriter, r *http.Request, functions http.Handler) *httptest.ResponseRecorder {
	real := httptest.NewRecorder()
	functions.ServeHTTP(real, r)
	for name, values := range real.Header() {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(real.Code)
	return real
}

// cutAfter passes on so many lines, and ends the answer.
func cutAfter(n int) listAnswer {
	return func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
		real := writeHead(w, r, functions)
		io.WriteString(w, strings.Join(strings.SplitAfterN(real.Body.String(), "\n", n+1)[:n], ""))
	}
}

// A held list has begun and does not go on.
type held struct{ begun, left chan struct{} }

// hold answers the next list with these objects and no end, until the page leaves it.
func (wi *wire) hold(objects ...object) held {
	h := held{make(chan struct{}), make(chan struct{})}
	wi.useOnce(func(w http.ResponseWriter, r *http.Request, functions http.Handler) {
		lines(objects...)(w, r, functions)
		http.NewResponseController(w).Flush()
		close(h.begun)
		<-r.Context().Done()
		close(h.left)
	})
	return h
}

// await waits for what the page does, as long as a step may take.
func await(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(patience):
		t.Fatalf("%s: not so", what)
	}
}

// mailOf is a message with these headers and this HTML.
func mailOf(id, from, subject, snippet, html string) object {
	return object{
		"id": id, "threadId": id, "snippet": snippet, "internalDate": "1700000000000",
		"payload": object{
			"mimeType": "text/html",
			"headers":  []object{{"name": "From", "value": from}, {"name": "Subject", "value": subject}},
			"body":     object{"data": base64.URLEncoding.EncodeToString([]byte(html))},
		},
	}
}
