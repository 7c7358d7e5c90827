package main

import (
	"maps"
	"testing"

	"example.com/gmailgrant/internal/fakegoogle"
)

func TestSettings(t *testing.T) {
	server := startFake(t, fakegoogle.Options{})
	all := map[string]string{
		"BASE_URL":                     "http://localhost:8080",
		"GOOGLE_CLOUD_PROJECT":         "local",
		"SECRET_MANAGER_EMULATOR_HOST": server.Addr(),
		"FIRESTORE_EMULATOR_HOST":      server.Addr(),
		"GMAIL_EMULATOR_HOST":          server.Addr(),
		"ALLOWED_ORIGINS":              "http://localhost:8081,http://localhost:5173,http://localhost:3000",
		"RETURN_URLS":                  "http://localhost:8081/,http://localhost:5173/,http://localhost:3000/",
	}
	tests := []struct {
		name    string
		real    bool
		chosen  map[string]string
		changed map[string]string // compared with all; "" means not set
	}{
		{"nothing chosen", false, nil, nil},
		{"real mail", true, nil, map[string]string{"GMAIL_EMULATOR_HOST": ""}},
		{"chosen ones stay", false,
			map[string]string{"GOOGLE_CLOUD_PROJECT": "mine", "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "RETURN_URLS": "http://localhost:4200/in"},
			map[string]string{
				"GOOGLE_CLOUD_PROJECT":    "",
				"FIRESTORE_EMULATOR_HOST": "",
				"RETURN_URLS":             "http://localhost:4200/in,http://localhost:8081/,http://localhost:5173/,http://localhost:3000/",
			}},
		{"origins are added to the chosen ones", false,
			map[string]string{"ALLOWED_ORIGINS": "http://localhost:4200, http://localhost:3000"},
			map[string]string{
				"ALLOWED_ORIGINS": "http://localhost:4200,http://localhost:3000,http://localhost:8081,http://localhost:5173",
				"RETURN_URLS":     "http://localhost:8081/,http://localhost:4200/,http://localhost:3000/,http://localhost:5173/",
			}},
		{"another place", false, map[string]string{"BASE_URL": "https://app.example.com/api"}, map[string]string{"BASE_URL": ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			getenv := func(name string) string { return test.chosen[name] }
			want := maps.Clone(all)
			maps.Copy(want, test.changed)
			maps.DeleteFunc(want, func(_, value string) bool { return value == "" })

			got := make(map[string]string)
			for _, s := range settings(newPlace(getenv, "8080", "8081"), &google{Server: server, real: test.real}, getenv) {
				got[s.name] = s.value
			}
			if !maps.Equal(got, want) {
				t.Errorf("settings\n%v, want\n%v", got, want)
			}
		})
	}
}

func TestFunctionAddresses(t *testing.T) {
	for baseURL, want := range map[string]string{
		"http://localhost:8080":           "http://localhost:8080/callback",
		"https://app.example.com/api/":    "https://app.example.com/api/callback",
		"https://{function}-1.eu.run.app": "https://callback-1.eu.run.app",
	} {
		if got := (place{baseURL: baseURL}).function("callback"); got != want {
			t.Errorf("callback below %s is %s, want %s", baseURL, got, want)
		}
	}
}

func TestSecretID(t *testing.T) {
	for name, want := range map[string]string{
		"":                                "default",
		"client":                          "client",
		"projects/p/secrets/client":       "client",
		"projects/1/secrets/k/versions/2": "k",
	} {
		if got := secretID(name, "default"); got != want {
			t.Errorf("secretID(%q) is %q, want %q", name, got, want)
		}
	}
}

func TestDataFile(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/config")
	t.Setenv("HOME", "/home")
	tests := []struct {
		name string
		args []string
		kept bool
	}{
		{"stand-in", nil, false},
		{"stand-in with a file", []string{"-data=here.json"}, true},
		{"real mail", []string{"-client-secret=client_secret.json"}, true},
	}
	for _, test := range tests {
		o, err := parseOptions(test.args, func(string) string { return "" })
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if kept := o.data != ""; kept != test.kept {
			t.Errorf("%s: data file %q", test.name, o.data)
		}
	}
}
