package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// browser goes the way a person goes: it keeps cookies, follows redirects, fills in
// the consent form. Its requests from script come from the demo page.
type browser struct {
	t      *testing.T
	p      *process
	client *http.Client
}

func newBrowser(t *testing.T, p *process) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, p, &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// answer is a response, read.
type answer struct {
	status int
	url    *url.URL // after redirects
	header http.Header
	body   string
}

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Request.URL, response.Header, string(body)}
}

func (b *browser) request(method, address string, body io.Reader, header map[string]string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return b.send(r)
}

// navigate opens an address in the window.
func (b *browser) navigate(address string) answer {
	b.t.Helper()
	return b.request(http.MethodGet, address, nil, map[string]string{"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"})
}

// fetch is what the page's script does, with credentials.
func (b *browser) fetch(method, address string) answer {
	b.t.Helper()
	return b.request(method, address, nil, map[string]string{"Origin": strings.TrimSuffix(b.p.page, "/"), "Sec-Fetch-Site": "same-site"})
}

// fetchJSON expects a status and decodes the answer.
func (b *browser) fetchJSON(method, address string, status int) object {
	b.t.Helper()
	a := b.fetch(method, address)
	if a.status != status {
		b.t.Fatalf("%s %s: status %d, want %d\n%s", method, address, a.status, status, a.body)
	}
	var o object
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		b.t.Fatalf("%s %s: %v\n%s", method, address, err, a.body)
	}
	return o
}

// list reads a list as the page does, a message a line, until the line that ends it.
func (b *browser) list(query string) (messages []object, ending object) {
	b.t.Helper()
	a := b.request(http.MethodGet, b.p.base+"/listmessages?format=metadata&"+query, nil, map[string]string{
		"Accept":         "application/x-ndjson",
		"Origin":         strings.TrimSuffix(b.p.page, "/"),
		"Sec-Fetch-Site": "same-site",
	})
	for line := range strings.Lines(a.body) {
		var o object
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			b.t.Fatalf("%s: %v\n%s", query, err, line)
		}
		if o.text("id") == "" {
			return messages, o
		}
		messages = append(messages, o)
	}
	b.t.Fatalf("%s: status %d, %d messages and no end", query, a.status, len(messages))
	return nil, nil
}

// misbehave orders a fault of the stand-in, as the page's panel does.
func (b *browser) misbehave(control string) {
	b.t.Helper()
	if a := b.request(http.MethodPost, b.p.page+"stand-in/"+control, nil, nil); a.status != http.StatusNoContent {
		b.t.Fatalf("%s: status %d\n%s", control, a.status, a.body)
	}
}

// object is a JSON object.
type object map[string]any

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// connect signs in from the page and allows everything; account is a sub, or ""
// for the one preselected. It returns where the browser ends up.
func (b *browser) connect(account string) answer {
	b.t.Helper()
	query := url.Values{"return_to": {b.p.page}, "state": {"state of the page"}}
	a := b.navigate(b.p.base + "/authurl?" + query.Encode())
	if strings.HasPrefix(a.url.String(), b.p.page) {
		return a // nobody was asked
	}
	f := parseForm(b.t, a)
	if account != "" {
		f.fields.Set("account", account)
	}
	return b.submit(f, "allow")
}

// submit sends the consent form with one of its buttons.
func (b *browser) submit(f form, action string) answer {
	b.t.Helper()
	fields := maps.Clone(f.fields)
	fields.Set("action", action)
	return b.request(f.method, f.action, strings.NewReader(fields.Encode()), map[string]string{
		"Accept":       "text/html",
		"Content-Type": "application/x-www-form-urlencoded",
	})
}

// form is an HTML form with what it would send as it stands, buttons aside.
type form struct {
	method, action string
	fields         url.Values
}

// parseForm finds the one form of a page.
func parseForm(t *testing.T, a answer) form {
	t.Helper()
	document, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	f := form{fields: url.Values{}}
	for node := range document.Descendants() {
		attributes := attributesOf(node)
		switch {
		case node.Data == "form":
			target, err := a.url.Parse(attributes["action"])
			if err != nil {
				t.Fatal(err)
			}
			f.method, f.action = strings.ToUpper(attributes["method"]), target.String()
		case node.Data == "input" && isSent(attributes):
			f.fields.Add(attributes["name"], attributes["value"])
		}
	}
	if f.action == "" {
		t.Fatalf("no form on %s (status %d):\n%s", a.url, a.status, a.body)
	}
	return f
}

// isSent says whether an input goes with the form: boxes and buttons to choose
// from only when they are chosen.
func isSent(attributes map[string]string) bool {
	_, checked := attributes["checked"]
	switch attributes["type"] {
	case "checkbox", "radio":
		return checked
	}
	return true
}

func attributesOf(node *html.Node) map[string]string {
	attributes := make(map[string]string)
	if node.Type != html.ElementNode {
		return attributes
	}
	for _, a := range node.Attr {
		attributes[a.Key] = a.Val
	}
	return attributes
}
