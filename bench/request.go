//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"example.com/gmailgrant/bench/internal/load"
)

// answerTimeout is enough for all of the mailbox at a sixth of a CPU.
const answerTimeout = 2 * time.Minute

// A request is what a program is asked, and what its answer must be.
type request struct {
	bytes []byte
	check func(load.Answer) error
}

func get(query url.Values, header http.Header, check func(load.Answer) error) request {
	return request{message(http.MethodGet, "/?"+query.Encode(), header), check}
}

func message(method, target string, header http.Header) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: functions.bench.example\r\n", method, target)
	_ = header.Write(&b) // to memory
	b.WriteString("\r\n")
	return b.Bytes()
}

// preflight is the first that a browser asks of a function it has not called before.
// It needs nothing of Google.
func preflight() request {
	header := http.Header{"Origin": {frontEnd}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"}}
	return request{message(http.MethodOptions, "/", header), success}
}

func (g *google) fromFrontEnd() http.Header {
	return http.Header{"Origin": {frontEnd}, "Authorization": {"Bearer " + g.session}, "Accept": {"application/json"}}
}

// authURL asks for the way to Google.
func (g *google) authURL() request {
	query := url.Values{
		"return_to":             {returnURL},
		"state":                 {"inbox"},
		"code_challenge":        {oauth2.S256ChallengeFromVerifier("bench")},
		"code_challenge_method": {"S256"},
	}
	return get(query, http.Header{"Origin": {frontEnd}, "Accept": {"application/json"}}, contains(`"authorization_url"`))
}

func hello() request { return get(nil, nil, contains("Hello")) }

// list asks the functions for n messages.
func (g *google) list(n int) request {
	return get(listQuery(n), g.fromFrontEnd(), messages(n))
}

// listAll asks for the IDs of the whole mailbox.
func (g *google) listAll(n int) request {
	return get(url.Values{"includeSpamTrash": {"true"}}, g.fromFrontEnd(), messages(n))
}

// details asks for the metadata of n messages.
func (g *google) details(n int) request {
	query := listQuery(n)
	query.Set("format", "metadata")
	return get(query, g.fromFrontEnd(), messages(n))
}

func listQuery(n int) url.Values {
	return url.Values{"includeSpamTrash": {"true"}, "maxResults": {strconv.Itoa(n)}}
}

// peerList asks one of the peers for n messages, with their metadata if format says
// so.
func peerList(n int, format string) request {
	query := url.Values{"user": {user}, "max": {strconv.Itoa(n)}}
	if format != "" {
		query.Set("format", format)
	}
	return get(query, nil, messages(n))
}

const gmailList = "/gmail/v1/users/me/messages"

// gmailQuery is how the functions ask Gmail for a page.
func gmailQuery(n int) url.Values {
	return url.Values{
		"prettyPrint": {"false"}, "includeSpamTrash": {"true"}, "maxResults": {strconv.Itoa(n)},
		"fields": {"messages(id,threadId),nextPageToken,resultSizeEstimate"},
	}
}

// proxied is the same page of Gmail by way of the proxy.
func (g *google) proxied(n int) request {
	header := http.Header{"Authorization": {"Bearer " + g.accessToken}}
	return request{message(http.MethodGet, gmailList+"?"+gmailQuery(n).Encode(), header), messages(n)}
}

func success(a load.Answer) error {
	if a.Status != http.StatusOK && a.Status != http.StatusNoContent {
		return fmt.Errorf("status %d: %.500s", a.Status, a.Body)
	}
	return nil
}

func contains(want string) func(load.Answer) error {
	return func(a load.Answer) error {
		if a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(want)) {
			return fmt.Errorf("status %d, want 200 and %q: %.500s", a.Status, want, a.Body)
		}
		return nil
	}
}

// messages wants a complete list of n.
func messages(n int) func(load.Answer) error {
	return func(a load.Answer) error {
		got := bytes.Count(a.Body, []byte(`"threadId":`))
		if a.Status != http.StatusOK || got != n || bytes.Contains(a.Body, []byte(`"incomplete":`)) {
			return fmt.Errorf("status %d, %d messages, want %d: %.200s … %s", a.Status, got, n, a.Body, a.Body[max(0, len(a.Body)-200):])
		}
		return nil
	}
}
