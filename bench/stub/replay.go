//go:build linux

package main

import (
	"bytes"
	"maps"
	"net/http"
	"strings"
	"sync"
)

// A replay gives the answer to a GET of Gmail again that the stand-in gave before:
// making it takes more CPU than the servers that are measured. The mailbox does not
// change, and each token has answers of its own.
type replay struct {
	google  http.Handler
	answers sync.Map // of *recording, by token and URL
}

func newReplay(google http.Handler) *replay { return &replay{google: google} }

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/gmail/") {
		p.google.ServeHTTP(w, r)
		return
	}
	key := r.Header.Get("Authorization") + " " + r.URL.RequestURI()
	if known, ok := p.answers.Load(key); ok {
		known.(*recording).play(w)
		return
	}
	answer := &recording{header: http.Header{}, status: http.StatusOK}
	p.google.ServeHTTP(answer, r)
	answer.play(w)
	if answer.status == http.StatusOK {
		p.answers.Store(key, answer)
	}
}

// A recording is an answer. It does not change once stored.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recording) Header() http.Header         { return a.header }
func (a *recording) WriteHeader(status int)      { a.status = status }
func (a *recording) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *recording) play(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the caller left
}
