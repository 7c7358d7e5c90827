package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadClientSecret(t *testing.T) {
	const redirectURI = "http://localhost:8080/callback"
	const endpoints = `"auth_uri":"https://accounts.google.com/o/oauth2/auth","token_uri":"https://oauth2.googleapis.com/token",`
	tests := []struct {
		name, content, want string // want "": accepted
	}{
		{"good", `{"web":{"client_id":"id","client_secret":"GOCSPX-x",` + endpoints + `"redirect_uris":["https://app.example.com/callback","http://localhost:8080/callback"]}}`, ""},
		{"no JSON", `GOCSPX-x`, "not the JSON file"},
		{"other types", `{"web":{"client_id":"id","client_secret":["GOCSPX-x"]}}`, "not the JSON file"},
		{"desktop app", `{"installed":{"client_id":"id","client_secret":"GOCSPX-x"}}`, "type Web application"},
		{"service account", `{"type":"service_account","private_key":"GOCSPX-x"}`, "type Web application"},
		{"no secret", `{"web":{"client_id":"id","redirect_uris":["http://localhost:8080/callback"]}}`, "no client_secret"},
		{"not registered", `{"web":{"client_id":"id","client_secret":"GOCSPX-x",` + endpoints + `"redirect_uris":["http://localhost:8080/callback/"]}}`, "\n\t" + redirectURI + "\n"},
		{"no endpoints", `{"web":{"client_id":"id","client_secret":"GOCSPX-x","redirect_uris":["http://localhost:8080/callback"]}}`, "no auth_uri"},
		{"none registered", `{"web":{` + endpoints + `"client_id":"id","client_secret":"GOCSPX-x"}}`, "\n\t" + redirectURI + "\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "client_secret.json")
			if err := os.WriteFile(name, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readClientSecret(name, redirectURI)
			if test.want == "" {
				if err != nil || string(got) != test.content {
					t.Errorf("readClientSecret: %q, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), name) {
				t.Fatalf("error %v, want %q in it", err, test.want)
			}
			if strings.Contains(err.Error(), "GOCSPX-x") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestNoClientSecret(t *testing.T) {
	if b, err := readClientSecret("", "http://localhost:8080/callback"); b != nil || err != nil {
		t.Errorf("readClientSecret: %q, %v", b, err)
	}
	if _, err := readClientSecret(filepath.Join(t.TempDir(), "missing.json"), ""); err == nil {
		t.Error("a missing file is no error")
	}
}
