//go:build gcloud

package deploy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// A visitor is the browser of somebody who uses the front end: it follows
// redirects one by one.
type visitor struct {
	t      *testing.T
	base   string
	client http.Client
}

func (w *world) newVisitor(t *testing.T) *visitor {
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(w.certificate())
	network := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == host+":443" {
				address = w.server.Listener.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(network.CloseIdleConnections)
	return &visitor{t: t, base: w.base(), client: http.Client{
		Transport:     network,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send returns the answer and its body.
func (v *visitor) send(method, address, body string, header map[string]string) (*http.Response, []byte) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp, answer
}

// script is a script of the front end calling a function, and decodes what it
// answers.
func (v *visitor) script(method, path, body string, header map[string]string, answer any) {
	v.t.Helper()
	all := map[string]string{"Origin": frontEnd, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}
	for name, value := range header {
		all[name] = value
	}
	resp, content := v.send(method, v.base+path, body, all)
	if resp.StatusCode != http.StatusOK {
		v.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, content)
	}
	if err := json.Unmarshal(content, answer); err != nil {
		v.t.Fatalf("%s %s: %v in %s", method, path, err, content)
	}
}

// connect goes the whole way of the hand-off, saying yes to everything, and
// returns the session.
func (v *visitor) connect() string {
	v.t.Helper()
	verifier := rand.Text() + rand.Text()
	query := url.Values{
		"return_to": {frontEnd + "/"}, "state": {"inbox"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	var start struct {
		URL string `json:"authorization_url"`
	}
	v.script(http.MethodGet, "/authurl?"+query.Encode(), "", nil, &start)
	back := v.navigate(v.consent(start.URL))
	code := back.Query().Get("code")
	if code == "" || back.Query().Get("state") != "inbox" || !strings.HasPrefix(back.String(), frontEnd+"/") {
		v.t.Fatalf("the sign-in ended at %s", back)
	}
	var end struct {
		Session string `json:"session"`
	}
	body := fmt.Sprintf(`{"code": %q, "code_verifier": %q}`, code, verifier)
	v.script(http.MethodPost, "/callback", body, map[string]string{"Content-Type": "application/json"}, &end)
	if end.Session == "" {
		v.t.Fatal("no session")
	}
	return end.Session
}

// consent submits Google's form with every box ticked, and returns where Google
// sends the browser.
func (v *visitor) consent(authorization string) *url.URL {
	v.t.Helper()
	u, err := url.Parse(authorization)
	if err != nil {
		v.t.Fatal(err)
	}
	form := u.Query()
	form["requested_scope"] = form["scope"]
	form["scope"] = strings.Fields(form.Get("scope"))
	form.Set("action", "allow")
	form.Set("account", "104857600000000000002")
	u.RawQuery = ""
	resp, body := v.send(http.MethodPost, u.String(), form.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	location, err := resp.Location()
	if err != nil {
		v.t.Fatalf("no redirect from Google: %d %s", resp.StatusCode, body)
	}
	return location
}

// navigate goes to callback as Google's redirect does, and returns where that
// leads.
func (v *visitor) navigate(u *url.URL) *url.URL {
	v.t.Helper()
	resp, body := v.send(http.MethodGet, u.String(), "", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"})
	location, err := resp.Location()
	if err != nil {
		v.t.Fatalf("no redirect from callback: %d %s", resp.StatusCode, body)
	}
	return location
}

// wantMail checks that the session lists the user's mail.
func (v *visitor) wantMail(session string) {
	v.t.Helper()
	var list struct {
		Messages []struct{ ID string }
	}
	v.script(http.MethodGet, "/listmessages", "", map[string]string{"Authorization": "Bearer " + session}, &list)
	if len(list.Messages) == 0 {
		v.t.Error("no messages")
	}
}
