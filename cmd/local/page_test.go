package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"example.com/gmailgrant"
	"example.com/gmailgrant/internal/fakegoogle"
)

// testPage serves the page for functions at the given BASE_URL.
func testPage(t *testing.T, baseURL string, real bool) http.Handler {
	t.Helper()
	p := place{baseURL: baseURL, pageOrigin: "http://localhost:8081"}
	return newPageHandler(p, &google{Server: startFake(t, fakegoogle.Options{}), real: real}, popup{})
}

func ask(h http.Handler, method, address string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, address, nil))
	return w.Result()
}

func TestPageHeaders(t *testing.T) {
	tests := []struct{ baseURL, connect string }{
		{"http://localhost:8080", "connect-src 'self' http://localhost:8080;"},
		{"https://app.example.com/api", "connect-src 'self' https://app.example.com;"},
		{"https://{function}-1.run.app", "connect-src 'self' https://authurl-1.run.app https://callback-1.run.app https://listmessages-1.run.app;"},
	}
	for _, test := range tests {
		h := testPage(t, test.baseURL, false)
		for _, path := range []string{"/", "/page.js", "/config.json"} {
			header := ask(h, http.MethodGet, "http://localhost:8081"+path).Header
			policy := header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none';") || !strings.Contains(policy, test.connect) || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: policy %q, want %q in it", path, policy, test.connect)
			}
			for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
				if got := header.Get(name); got != want {
					t.Errorf("%s: %s is %q, want %q", path, name, got, want)
				}
			}
		}
	}
}

// Everything that the page names is there: under this policy a browser would load
// it from nowhere else.
func TestPageIsComplete(t *testing.T) {
	h := testPage(t, "http://localhost:8080", false)
	reference := regexp.MustCompile(`(?:src|href)="([^"#]+)"|from '\./([^']+)'`)
	queue, seen := []string{""}, map[string]bool{}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost:8081/"+name, nil))
		if w.Code != http.StatusOK {
			t.Errorf("/%s: status %d", name, w.Code)
		}
		for _, found := range reference.FindAllStringSubmatch(w.Body.String(), -1) {
			queue = append(queue, found[1]+found[2])
		}
	}
	if !seen["page.js"] || !seen["gmailgrant.js"] || !seen["mail.js"] || !seen["page.css"] {
		t.Errorf("found only %v", seen)
	}
}

// Pages of other origins can import the module, and nothing else.
func TestModuleCanBeImported(t *testing.T) {
	h := testPage(t, "http://localhost:8080", false)
	for path, want := range map[string]string{"/gmailgrant.js": "*", "/mail.js": "", "/config.json": "", "/": ""} {
		response := ask(h, http.MethodGet, "http://localhost:8081"+path)
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: allowed to %q, want %q", path, got, want)
		}
		if got := response.Header.Get("Content-Type"); want != "" && got != "text/javascript; charset=utf-8" {
			t.Errorf("%s: type %q", path, got)
		}
	}
}

// The page says that its data are made up before a script has run, unless they are real.
func TestPageSaysWhatIsMadeUp(t *testing.T) {
	for _, real := range []bool{false, true} {
		w := httptest.NewRecorder()
		testPage(t, "http://localhost:8080", real).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost:8081/", nil))
		if said := strings.Contains(w.Body.String(), "<strong>not Google</strong>"); said == real || strings.Contains(w.Body.String(), "{{") {
			t.Errorf("real mail %t:\n%s", real, w.Body)
		}
	}
}

func TestPageConfig(t *testing.T) {
	for _, real := range []bool{false, true} {
		response := ask(testPage(t, "https://app.example.com/api/", real), http.MethodGet, "http://localhost:8081/config.json")
		var got pageConfig
		if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		want := pageConfig{
			AuthURL:      "https://app.example.com/api/authurl",
			Callback:     "https://app.example.com/api/callback",
			ListMessages: "https://app.example.com/api/listmessages",
			StandIn:      !real,
		}
		if got != want {
			t.Errorf("config %+v, want %+v", got, want)
		}
	}
}

// The popup way shows in the page's config and policy only when it is on and its
// script is the stand-in's.
func TestPopupConfig(t *testing.T) {
	server := startFake(t, fakegoogle.Options{})
	p := place{baseURL: "http://localhost:8080", pageOrigin: "http://localhost:8081"}
	tests := []struct {
		real, on bool
		want     popup
	}{
		{false, true, popup{server.CodeClientURL(), server.ClientID(), "openid a"}},
		{false, false, popup{}},
		{true, true, popup{}},
	}
	for _, test := range tests {
		g := &google{Server: server, real: test.real}
		h := newPageHandler(p, g, newPopup(g, &gmailgrant.Config{PopupFlow: test.on, Scopes: []string{"openid", "a"}}))
		var got pageConfig
		if err := json.NewDecoder(ask(h, http.MethodGet, p.page()+"config.json").Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.popup != test.want {
			t.Errorf("%+v: %+v", test, got.popup)
		}
		policy := ask(h, http.MethodGet, p.page()).Header.Get("Content-Security-Policy")
		want := "script-src " + strings.TrimSpace("'self' "+test.want.GSI) + ";"
		if !strings.Contains(policy, want) {
			t.Errorf("%+v: policy %q, want %q in it", test, policy, want)
		}
	}
}

func TestPageIsReachedUnderOneName(t *testing.T) {
	h := testPage(t, "http://localhost:8080", false)
	for _, host := range []string{"127.0.0.1:8081", "rebound.example:8081"} {
		response := ask(h, http.MethodPost, "http://"+host+"/stand-in/revoke?sub=1")
		if location := response.Header.Get("Location"); location != "http://localhost:8081/" {
			t.Errorf("%s: status %d to %q", host, response.StatusCode, location)
		}
	}
}

func TestStandInControls(t *testing.T) {
	foreign := httptest.NewRequest(http.MethodPost, "http://localhost:8081/stand-in/revoke?sub=1", nil)
	foreign.Header.Set("Origin", "https://elsewhere.example")
	unknown := httptest.NewRequest(http.MethodPost, "http://localhost:8081/stand-in/fault?name=unknown", nil)
	revoke := httptest.NewRequest(http.MethodPost, "http://localhost:8081/stand-in/revoke?sub=1", nil)

	tests := []struct {
		name    string
		real    bool
		request *http.Request
		want    int
	}{
		{"of another site", false, foreign, http.StatusForbidden},
		{"unknown fault", false, unknown, http.StatusBadRequest},
		{"own page", false, revoke, http.StatusNoContent},
		{"real mail", true, revoke, http.StatusMethodNotAllowed},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		testPage(t, "http://localhost:8080", test.real).ServeHTTP(w, test.request)
		if w.Code != test.want {
			t.Errorf("%s: status %d, want %d", test.name, w.Code, test.want)
		}
	}
}
