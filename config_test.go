package gmailgrant

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// load reads the settings out of a map.
func load(env map[string]string) (*Config, error) {
	return LoadConfig(func(name string) string { return env[name] })
}

// locally is the least that is needed on a developer's machine.
func locally(change map[string]string) map[string]string {
	env := map[string]string{"GOOGLE_CLOUD_PROJECT": "p"}
	maps.Copy(env, change)
	return env
}

func TestConfigDefaults(t *testing.T) {
	c, err := load(locally(nil))
	if err != nil {
		t.Fatal(err)
	}
	c.site = nil
	want := &Config{
		BaseURL:          "http://localhost:8080",
		Project:          "p",
		ClientSecretName: "gmailgrant-client",
		SealKeyName:      "gmailgrant-seal-key",
		Database:         "(default)",
		Scopes:           []string{"openid", "email", "profile", "https://www.googleapis.com/auth/gmail.readonly"},
		SessionTTL:       12 * time.Hour,
		BearerTTL:        time.Hour,
		SessionCookie:    "gmailgrant", // on plain-HTTP loopback
		ListDeadline:     20 * time.Second,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, want %+v", c, want)
	}
}

func TestConfigOfEverything(t *testing.T) {
	c, err := load(map[string]string{
		"BASE_URL": "https://app.example.com/api/", "GOOGLE_CLOUD_PROJECT": "p",
		"CLIENT_SECRET_NAME": "projects/other-1/secrets/client", "SEAL_KEY_NAME": "my_seal-key", "FIRESTORE_DATABASE": "db",
		"ALLOWED_ORIGINS": "https://app.example.com, http://localhost:5173 ,", "RETURN_URLS": "https://app.example.com/a,http://localhost:5173/",
		"SCOPES": " email  https://mail.google.com/ ", "SESSION_TTL": "90m", "BEARER_TTL": "5m", "SESSION_COOKIE": "__session",
		"POPUP_FLOW": "on", "LIST_DEADLINE": "55s", "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "SECRET_MANAGER_EMULATOR_HOST": "localhost:2", "GMAIL_EMULATOR_HOST": "[::1]:3",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.site.FunctionURL("callback"); got != "https://app.example.com/api/callback" {
		t.Errorf("callback at %s", got)
	}
	c.site = nil
	want := &Config{
		BaseURL: "https://app.example.com/api/", Project: "p", ClientSecretName: "projects/other-1/secrets/client", SealKeyName: "my_seal-key", Database: "db",
		AllowedOrigins: []string{"https://app.example.com", "http://localhost:5173"}, ReturnURLs: []string{"https://app.example.com/a", "http://localhost:5173/"},
		Scopes: []string{"openid", "email", "https://mail.google.com/"}, SessionTTL: 90 * time.Minute, BearerTTL: 5 * time.Minute, SessionCookie: "__session",
		PopupFlow: true, ListDeadline: 55 * time.Second, FirestoreEmulator: "127.0.0.1:1", SecretManagerEmulator: "localhost:2", GmailEmulator: "[::1]:3",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, want %+v", c, want)
	}
}

func TestConfigWhereItRuns(t *testing.T) {
	for _, row := range []struct {
		env  map[string]string
		base string // empty: a fault of BASE_URL
	}{
		{locally(map[string]string{"PORT": "9090"}), "http://localhost:9090"},
		{locally(map[string]string{"PORT": "9090", "BASE_URL": "http://127.0.0.1:1"}), "http://127.0.0.1:1"},
		{map[string]string{"K_SERVICE": "authurl", "PORT": "8080"}, ""},
		{map[string]string{"K_SERVICE": "authurl", "BASE_URL": "https://a.example"}, "https://a.example"}, // the metadata server knows the project
	} {
		c, err := load(row.env)
		if row.base == "" {
			if err == nil || !strings.Contains(err.Error(), "BASE_URL: is needed") {
				t.Errorf("%v: %v", row.env, err)
			}
			continue
		}
		if err != nil || c.BaseURL != row.base {
			t.Errorf("%v: %v, %v", row.env, c, err)
		}
	}
	if _, err := load(nil); err == nil || !strings.Contains(err.Error(), "GOOGLE_CLOUD_PROJECT: ") {
		t.Errorf("no project outside Google Cloud: %v", err)
	}
}

func TestConfigCookieName(t *testing.T) {
	for _, row := range []struct{ base, set, want string }{
		{"https://a.example", "", "__Host-gmailgrant"},
		{"https://localhost:8443", "", "__Host-gmailgrant"},
		{"https://a.example", "__session", "__session"},
		{"http://localhost:8080", "", "gmailgrant"},
		{"http://127.0.0.1:8080", "__Host-gmailgrant", "gmailgrant"},
		{"http://[::1]:8080", "__session", "__session"},
	} {
		c, err := load(locally(map[string]string{"BASE_URL": row.base, "SESSION_COOKIE": row.set}))
		if err != nil || c.SessionCookie != row.want {
			t.Errorf("%+v: %v, %v", row, c, err)
		}
	}
}

// faulty has a value that is a fault for each variable that can have one.
var faulty = map[string][]string{
	"BASE_URL":                     {"a.example", "http://a.example", "https://a.example/?x", "https://u:p@a.example", "https://a.example/#x"},
	"CLIENT_SECRET_NAME":           {"a b", "projects/p/secrets/x/versions/1", "projects/p/x", "GOCSPX-0123456789", `{"web":{}}`, strings.Repeat("x", 256)},
	"SEAL_KEY_NAME":                {"a/b", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"},
	"ALLOWED_ORIGINS":              {"*", "null", "https://a.example/", "https://a.example/x", "http://a.example", "https://a.example,bad", "https://*.a.example"},
	"RETURN_URLS":                  {"/", "https://a.example/", "http://localhost:5173/#x"},
	"SCOPES":                       {"openid email", "https://www.googleapis.com/auth/gmail.send", "https://mail.google.com/ https://www.googleapis.com/auth/gmail.metadata", "https://www.googleapis.com/auth/gmail.metadata https://www.googleapis.com/auth/gmail.readonly"},
	"SESSION_TTL":                  {"12", "-1h", "0", "0s", "1 day", "12h "},
	"BEARER_TTL":                   {"3600", "-1ns"},
	"LIST_DEADLINE":                {"20", "0s", "soon"},
	"SESSION_COOKIE":               {"a b", "a;b", "a=b", "é", strings.Repeat("x", 65)},
	"POPUP_FLOW":                   {"true", "ON", "1", "yes"},
	"SECRET_MANAGER_EMULATOR_HOST": {"10.0.0.1:1", "localhost", "127.0.0.1", "secretmanager.googleapis.com:443", "localhost.evil.example:1", ":1", "0.0.0.0:1", "http://localhost:1"},
	"GMAIL_EMULATOR_HOST":          {"10.0.0.1:1", "localhost", "gmail.googleapis.com:443", "[::]:1"},
}

func TestConfigFaults(t *testing.T) {
	for name, values := range faulty {
		for _, value := range values {
			_, err := load(locally(map[string]string{name: value}))
			if err == nil {
				t.Errorf("%s=%q was accepted", name, value)
				continue
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, name+": ") {
					t.Errorf("%s=%q: %q names another variable", name, value, line)
				}
			}
		}
	}
}

func TestConfigAllFaultsAtOnce(t *testing.T) {
	env := make(map[string]string)
	for name, values := range faulty {
		env[name] = values[0]
	}
	_, err := load(env)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range append(slices.Collect(maps.Keys(faulty)), "GOOGLE_CLOUD_PROJECT") {
		if !strings.Contains("\n"+err.Error(), "\n"+name+": ") {
			t.Errorf("%s is not named in:\n%v", name, err)
		}
	}
}

// A secret pasted into any variable, by whatever mistake, is not shown.
func TestConfigShowsNoSecrets(t *testing.T) {
	for _, secret := range []string{
		"GOCSPX-0123456789abcdefABCDEF", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
		`{"web":{"client_secret":"GOCSPX-0123456789abcdefABCDEF"}}`, "https://user:hunter2@app.example.com",
	} {
		for name := range faulty {
			_, err := load(locally(map[string]string{name: secret}))
			if err == nil {
				t.Errorf("%s=%q was accepted", name, secret)
				continue
			}
			for _, part := range []string{secret, "GOCSPX", "q83vEjRW", "hunter2"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("%s: %v", name, err)
					break
				}
			}
		}
	}
}

func TestConfigScopes(t *testing.T) {
	for set, want := range map[string]string{
		"openid https://mail.google.com/":                          "openid https://mail.google.com/",
		"https://www.googleapis.com/auth/gmail.metadata":           "openid https://www.googleapis.com/auth/gmail.metadata",
		"https://www.googleapis.com/auth/gmail.modify openid\n x ": "https://www.googleapis.com/auth/gmail.modify openid x",
	} {
		c, err := load(locally(map[string]string{"SCOPES": set}))
		if err != nil || strings.Join(c.Scopes, " ") != want {
			t.Errorf("%q: %v, %v", set, c, err)
		}
	}
}
