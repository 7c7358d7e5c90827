package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/fakegoogle"
	"example.com/gmailgrant/tokenstore"
)

// connect stores a grant for each of so many users, sealed with today's key.
func (p *place) connect(users int) {
	p.t.Helper()
	store := tokenstore.New(tokenstore.Config{
		Project: project, ClientSecretName: "gmailgrant-client", SealKeyName: "gmailgrant-seal-key", Database: "gmailgrant", BaseURL: baseURL,
		FirestoreEmulator: p.google.Addr(), SecretManagerEmulator: p.google.Addr(),
	})
	defer store.Close()
	client, err := store.Client(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range users {
		a := &tokenstore.Authorization{RefreshToken: tokenstore.Secret(fmt.Sprint("1//refresh-", i)), AccessToken: "access", ClientID: client.ID, Scopes: []string{"openid"}}
		if _, err := store.Connect(p.t.Context(), fmt.Sprintf("user-%03d", i), a, tokenstore.Profile{}); err != nil {
			p.t.Fatal(err)
		}
	}
}

// sealedWith counts the grants by the version of their key.
func (p *place) sealedWith() map[int64]int {
	count := make(map[int64]int)
	for _, d := range p.google.Documents() {
		count[d["key_version"].(int64)]++
	}
	return count
}

// line is the one that begins so.
func line(t *testing.T, lines []string, beginning string) string {
	t.Helper()
	for _, l := range lines {
		if strings.HasPrefix(l, beginning) {
			return l
		}
	}
	t.Errorf("no line %q in\n%s", beginning, strings.Join(lines, "\n"))
	return ""
}

// resealPlace has grants of two versions of the seal key, of which the newer was
// made so long ago.
func resealPlace(t *testing.T, ago time.Duration) *place {
	t.Helper()
	p := newPlace(t, nil)
	p.functions = startFunctionsOf(t, p.google, nil)
	p.args = append(p.args, "-reseal")
	p.connect(40)
	p.google.AddSecretVersion("gmailgrant-seal-key", newSealKey())
	p.cloud.addVersion(time.Now().Add(-ago))
	return p
}

func TestReseal(t *testing.T) {
	tests := []struct {
		name   string
		ago    time.Duration
		begins string
		says   string
		code   int
	}{
		{"at once", time.Minute, "warn  seal key: version 2 is new", "run this again after", 1},
		{"while sessions last", 11 * time.Minute, "note  seal key: disable version 1 after", "UTC", 0},
		{"later", 12*time.Hour + 11*time.Minute, "ok    seal key: nothing needs version 1 any more", "gcloud secrets versions disable", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := resealPlace(t, tt.ago)
			lines, code := p.examine()
			if code != tt.code {
				t.Errorf("exit status %d", code)
			}
			line(t, lines, "ok    reseal: 40 grants, of which 40 were sealed with an older key")
			if l := line(t, lines, tt.begins); !strings.Contains(l, tt.says) {
				t.Errorf("%q does not say %q", l, tt.says)
			}
			if got := p.sealedWith(); got[2] != 40 || len(got) != 1 {
				t.Errorf("grants by version: %v", got)
			}
			lines, _ = p.examine()
			line(t, lines, "ok    reseal: 40 grants, of which 0 were sealed with an older key")
		})
	}
}

// TestResealWhatDoesNotOpen: it is counted, and stays.
func TestResealWhatDoesNotOpen(t *testing.T) {
	p := resealPlace(t, 24*time.Hour)
	p.google.SetSecretVersionEnabled("gmailgrant-seal-key", 1, false)
	p.cloud.versions[0].State = "DISABLED"
	lines, code := p.examine()
	if l := line(t, lines, "warn  reseal: 40 of 40 grants don't open, and 0 were sealed with an older key"); !strings.Contains(l, "enable it and run this again before destroying any") {
		t.Error(l)
	}
	line(t, lines, "ok    seal key: version 2 is the only one enabled")
	if got := p.sealedWith(); code != 1 || got[1] != 40 {
		t.Errorf("exit status %d, grants by version: %v", code, got)
	}
}

// TestResealOfMany shows how far it has come.
func TestResealOfMany(t *testing.T) {
	p := resealPlace(t, 24*time.Hour)
	var doc map[string]any
	for _, doc = range p.google.Documents() {
		break
	}
	for i := range progress { // which don't open: they name another user
		p.google.SetDocument(fmt.Sprintf("grants/other-%04d", i), doc)
	}
	lines, _ := p.examine()
	line(t, lines, "note  reseal: 1000 grants so far")
	line(t, lines, "warn  reseal: 1000 of 1040 grants don't open, and 40 were sealed with an older key")
}

// TestResealFails: nothing is said of disabling a version.
func TestResealFails(t *testing.T) {
	for op, fault := range map[string]fakegoogle.Fault{
		"firestore.query": {Code: codes.PermissionDenied},
		"firestore.get":   {Code: codes.PermissionDenied, After: 5},
		"firestore.write": {Code: codes.PermissionDenied, After: 5},
	} {
		t.Run(op, func(t *testing.T) {
			p := resealPlace(t, 24*time.Hour)
			fault.Op = op
			defer p.google.Inject(fault)()
			lines, code := p.examine()
			line(t, lines, "FAIL  reseal: ")
			if text := strings.Join(lines, "\n"); code != 2 || strings.Contains(text, "nothing needs") || !strings.Contains(strings.ToLower(text), "disable no version") {
				t.Errorf("exit status %d:\n%s", code, text)
			}
		})
	}
}

// TestNotResealedUnasked: without the flag nothing is changed.
func TestNotResealedUnasked(t *testing.T) {
	p := resealPlace(t, 24*time.Hour)
	p.args = p.args[:4]
	p.examine()
	if got := p.sealedWith(); got[1] != 40 {
		t.Errorf("grants by version: %v", got)
	}
}
