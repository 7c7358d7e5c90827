//go:build gcloud

package deploy

import (
	"os"
	"strings"
	"testing"

	"example.com/gmailgrant"
)

// TestSettings: deploy.sh takes and refuses the values that the functions do, so
// that none of its flags can break functions that work.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.tools = os.Getenv("PATH") // there are many runs, and no secret goes anywhere
	const gmail = "https://www.googleapis.com/auth/gmail."
	long := frontEnd + "/" + strings.Repeat("a", 1024-len(frontEnd)-1)
	for flag, values := range map[string]struct{ good, bad []string }{
		"-origins": {
			[]string{"https://app.example.net:8443", frontEnd + ",http://localhost:5173,http://127.0.0.1:8080,http://[::1]:3000", "https://xn--bcher-kva.example"},
			[]string{frontEnd + "/", frontEnd + ":443", "http://localhost:80", "http://app.example.net", "HTTPS://app.example.net", "https://App.example.net", "https://u@app.example.net",
				"app.example.net", "null", "*", "https://*.example.net", frontEnd + "?x", "https://bücher.example", "http://127.0.0.999", "http://[::2]"},
		},
		"-base-url": {
			[]string{"https://api.example.net", "https://api.example.net/", "https://api.example.net:8443/a/v1.0_~!$&'()*+,;=:@%41", "https://{function}-1.europe-west1.run.app", "https://api.example.net/{function}"},
			[]string{"api.example.net", "http://api.example.net", "https://", "https://api.example.net/a b", "https://api.example.net/?x", "https://api.example.net/#x", "https://u@api.example.net",
				"https://{function}.{function}.example.net", "https://API.example.net", "https://api.example.net:443", "https://api.example.net/%zz", "https://api.example.net/{x}", "https://bücher.example"},
		},
		"-return-urls": {
			[]string{frontEnd + "/", frontEnd, frontEnd + "/a/%41?b=c&d=\"'`$(x)[]", frontEnd + "/," + frontEnd + "?code_hint=1", "https://" + host + "/app", "https://" + host + "/callbacks", long},
			[]string{"https://evil.example/", frontEnd + ":8443/", frontEnd + "/#x", frontEnd + "/a b", frontEnd + "/?a b", frontEnd + "/?code=1", frontEnd + "/?a=1&state", frontEnd + "/?error=", frontEnd + "/?missing_scopes=x",
				frontEnd + "/?a;b", frontEnd + "/%zz", frontEnd + "/?%z", "https://" + host + "/callback", "https://" + host + "/authurl/?x", "http://app.example.net/", "/", long + "a", frontEnd + "/," + frontEnd + "/ü",
				"https://u@app.example.net/", frontEnd + `/"`, frontEnd + ".evil.example/"},
		},
		"-scopes": {
			[]string{gmail + "readonly", "openid  email " + gmail + "modify", gmail + "metadata", "https://mail.google.com/ " + gmail + "readonly"},
			[]string{"openid email", "gmail.readonly", gmail + "send", gmail + "metadata " + gmail + "readonly", "https://mail.google.com/ " + gmail + "metadata", gmail + "readonly," + gmail + "modify"},
		},
		"-session-ttl":    {[]string{"90s", "20m", "12h", "1h30m5s", "08h"}, []string{"soon", "0", "0s", "0h0m", "-1h", "12", "1d", "1h 30m", "h", "99999999h"}},
		"-bearer-ttl":     {[]string{"90s", "09m"}, []string{"soon", "0s", "-1h", "1"}},
		"-list-deadline":  {[]string{"20s", "59s", "0m08s"}, []string{"soon", "0s", "20"}},
		"-popup-flow":     {[]string{"on", "off"}, []string{"yes", "On", "true", "on "}},
		"-session-cookie": {[]string{"__session", "__Host-a.b", "a"}, []string{"a;b", "a b", "a=b", "ü", "GOCSPX-0123456789abcdefghijklmnopqr", strings.Repeat("a", 65)}},
	} {
		for _, value := range values.good {
			w.compareSettings(t, flag, value, true)
		}
		for _, value := range values.bad {
			w.compareSettings(t, flag, value, false)
		}
	}
	// What is right on a developer's machine, and never where it is deployed.
	for flag, values := range map[string][]string{
		"-base-url":      {"http://localhost:8080", "http://[::1]:8080/api"},
		"-list-deadline": {"60s", "1m", "0h1m0s", "1h"},
	} {
		for _, value := range values {
			if w.accepts(flag, value) {
				t.Errorf("deploy.sh accepts %s %s", flag, value)
			}
		}
	}
	if sent := w.cloud.Requests(); len(sent) != 0 {
		t.Errorf("asked of Google: %v", sent)
	}
}

// accepts reports whether deploy.sh gets past its checks with a flag.
func (w *world) accepts(flag, value string) bool {
	w.t.Helper()
	r := w.deployment("-n", "-check", flag, value)
	if r.code != 0 && (r.code != 1 || !strings.Contains(r.stderr, "deploy.sh: "+flag+": ")) {
		w.t.Errorf("%s %q ends with %d, and does not name the flag: %s", flag, value, r.code, r.stderr)
	}
	return r.code == 0
}

// compareSettings asks both deploy.sh and the functions about a value.
func (w *world) compareSettings(t *testing.T, flag, value string, want bool) {
	t.Helper()
	settings := map[string]string{
		"K_SERVICE": "callback", "GOOGLE_CLOUD_PROJECT": project, "BASE_URL": w.base(), "ALLOWED_ORIGINS": frontEnd,
	}
	name := strings.ToUpper(strings.ReplaceAll(flag[1:], "-", "_"))
	if flag == "-origins" {
		name = "ALLOWED_ORIGINS"
	}
	settings[name] = value
	_, err := gmailgrant.LoadConfig(func(name string) string { return settings[name] })
	if (err == nil) != want {
		t.Errorf("the functions on %s=%q: %v", name, value, err)
	}
	if got := w.accepts(flag, value); got != want {
		t.Errorf("deploy.sh %s %q: accepted %t, the functions %t", flag, value, got, want)
	}
}
