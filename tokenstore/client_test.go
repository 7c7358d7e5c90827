package tokenstore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"example.com/gmailgrant/tokenstore"
)

// clientJSON is a client secret as downloaded, with some members changed; an
// empty value takes the member away.
func clientJSON(t testing.TB, change map[string]string) []byte {
	t.Helper()
	web := map[string]any{
		"client_id": "1234.apps.googleusercontent.com", "client_secret": "GOCSPX-the-client-secret", "project_id": "p",
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs", "redirect_uris": []string{"https://a.example/callback"},
	}
	for name, value := range change {
		web[name] = value
		if value == "" {
			delete(web, name)
		}
	}
	b, err := json.Marshal(map[string]any{"web": web})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseClient(t *testing.T) {
	const google = "https://accounts.google.com/o/oauth2/v2/auth"
	for _, row := range []struct{ auth, token, want string }{
		{"https://accounts.google.com/o/oauth2/auth", "https://oauth2.googleapis.com/token", google},
		{"https://accounts.google.com/o/oauth2/v2/auth", "https://www.googleapis.com/oauth2/v4/token", google},
		{"https://accounts.google.com/o/oauth2/auth", "https://accounts.google.com/o/oauth2/token", google},
		{"http://127.0.0.1:9000/o/oauth2/auth", "http://127.0.0.1:9000/token", "http://127.0.0.1:9000/o/oauth2/auth"},
		{"http://localhost:9000/auth?x=1", "http://[::1]:9001/a/token", "http://localhost:9000/auth?x=1"},
		{"https://localhost/auth", "https://localhost/token", "https://localhost/auth"},
	} {
		c, err := tokenstore.ParseClient(clientJSON(t, map[string]string{"auth_uri": row.auth, "token_uri": row.token}))
		if err != nil {
			t.Errorf("%s, %s: %v", row.auth, row.token, err)
			continue
		}
		if c.AuthURL() != row.want || c.ID != "1234.apps.googleusercontent.com" || len(c.RedirectURIs) != 1 {
			t.Errorf("%s, %s: %s %+v", row.auth, row.token, c.AuthURL(), c.RedirectURIs)
		}
	}
	if _, err := tokenstore.ParseClient(append([]byte("\n\t "), append(clientJSON(t, nil), '\n')...)); err != nil {
		t.Errorf("with a line end: %v", err)
	}
}

// An endpoint elsewhere would be handed the client secret and every code.
func TestParseClientRefusesEndpoints(t *testing.T) {
	const auth, token = "https://accounts.google.com/o/oauth2/auth", "https://oauth2.googleapis.com/token"
	for _, row := range [][2]string{
		{"https://evil.example/auth", token},
		{auth, "https://evil.example/token"},
		{auth, "http://127.0.0.1:9000/token"},
		{"http://127.0.0.1:9000/auth", token},
		{"http://accounts.google.com/o/oauth2/auth", token},
		{auth, "http://oauth2.googleapis.com/token"},
		{auth, "https://oauth2.googleapis.com.evil.example/token"},
		{auth, "https://evil.googleapis.com/token"},
		{auth, "https://oauth2.googleapis.com:8443/token"},
		{auth, "https://u:p@oauth2.googleapis.com/token"},
		{auth, "https://oauth2.googleapis.com@evil.example/token"},
		{"http://10.0.0.1/auth", "http://10.0.0.1/token"},
		{"http://localhost.evil.example/auth", "http://localhost/token"},
		{"http://u@localhost/auth", "http://localhost/token"},
		{"ftp://localhost/auth", "ftp://localhost/token"},
		{"//localhost/auth", "//localhost/token"},
		{"auth", "token"},
		{"%zz", token},
		{auth, "http://[::1/token"},
	} {
		if c, err := tokenstore.ParseClient(clientJSON(t, map[string]string{"auth_uri": row[0], "token_uri": row[1]})); err == nil {
			t.Errorf("%s, %s: accepted, authorization at %s", row[0], row[1], c.AuthURL())
		}
	}
}

func TestParseClientFaults(t *testing.T) {
	for want, data := range map[string][]byte{
		"not the JSON file":     []byte("GOCSPX-the-client-secret"),
		"JSON file that Google": append(clientJSON(t, nil), "{}"...),
		"no member":             []byte(`{}`),
		`type "installed"`:      []byte(strings.Replace(string(clientJSON(t, nil)), `"web"`, `"installed"`, 1)),
		"no client_id":          clientJSON(t, map[string]string{"client_id": ""}),
		"no client_secret":      clientJSON(t, map[string]string{"client_secret": ""}),
		"no auth_uri":           clientJSON(t, map[string]string{"auth_uri": ""}),
		"no token_uri":          clientJSON(t, map[string]string{"token_uri": ""}),
		"client secret is not":  []byte(`{"web":{"client_secret":7}}`),
	} {
		_, err := tokenstore.ParseClient(data)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "GOCSPX") || strings.Contains(err.Error(), "1234")) {
			t.Errorf("%v shows a value", err)
		}
	}
	for _, data := range []string{"", "null", "[]", "7", `"x"`, `{"web":null}`, `{"web":[]}`, "\xff"} {
		if _, err := tokenstore.ParseClient([]byte(data)); err == nil {
			t.Errorf("%q was accepted", data)
		}
	}
}

// FuzzParseClient: what is accepted has an ID and endpoints at Google or on
// loopback, and no error holds a value of the file.
func FuzzParseClient(f *testing.F) {
	f.Add("https://accounts.google.com/o/oauth2/auth", "https://oauth2.googleapis.com/token", "GOCSPX-secret")
	f.Add("http://127.0.0.1:9000/auth", "http://localhost:9000/token", "GOCSPX-secret")
	f.Add("http://localhost:9000\\@evil.example/", "http://[::1]/", "x")
	f.Fuzz(func(t *testing.T, auth, token, secret string) {
		c, err := tokenstore.ParseClient(clientJSON(t, map[string]string{"auth_uri": auth, "token_uri": token, "client_secret": secret}))
		if err != nil {
			if len(secret) > 20 && strings.Contains(err.Error(), secret) {
				t.Fatalf("%v", err)
			}
			return
		}
		if got := c.AuthURL(); got != "https://accounts.google.com/o/oauth2/v2/auth" && got != jsonString(t, auth) {
			t.Fatalf("%q, %q: authorization at %q", auth, token, got)
		}
		if strings.Contains(fmt.Sprintf("%+v", c), secret) && len(secret) > 20 {
			t.Fatal("printing a client shows its secret")
		}
	})
}

// jsonString is s as it comes back out of JSON.
func jsonString(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func FuzzParseClientBytes(f *testing.F) {
	f.Add(clientJSON(f, nil))
	f.Add([]byte(`{"web":{},"web":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := tokenstore.ParseClient(data)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err == nil && c.ID == "" {
			t.Fatal("a client without an ID")
		}
	})
}
