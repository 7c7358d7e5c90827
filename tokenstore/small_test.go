package tokenstore_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/tokenstore"
)

const hidden = "1//0the-refresh-token"

// A Secret never shows, nor does anything that holds one.
func TestSecretNeverShows(t *testing.T) {
	s := tokenstore.Secret(hidden)
	w := newStandIn(t)
	store := w.store()
	a := w.madeUp(store)
	a.RefreshToken, a.AccessToken = hidden, hidden
	grant := w.mustConnect(store, ada.Sub, a)
	client, err := store.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token := w.mustToken(store, ada.Sub, grant.ID, "")
	secrets := append(w.google.Handed(), hidden)
	for name, v := range map[string]any{
		"secret": s, "pointer": &s, "slice": []tokenstore.Secret{s}, "map": map[string]tokenstore.Secret{"x": s}, "struct": struct{ S tokenstore.Secret }{s},
		"grant": grant, "grant value": *grant, "client": client, "client value": *client, "token": token, "token value": *token, "authorization": a,
	} {
		var shown bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&shown, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("m", "v", v)
		if err := json.NewEncoder(&shown).Encode(v); err != nil {
			t.Error(err)
		}
		for _, secret := range secrets {
			if strings.Contains(shown.String(), secret) || strings.Contains(shown.String(), fmt.Sprintf("%x", secret)) {
				t.Errorf("%s shows %q:\n%s", name, secret, &shown)
				break
			}
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"1":                              time.Second,
		" 120 ":                          2 * time.Minute,
		"86400":                          24 * time.Hour,
		"86401":                          24 * time.Hour,
		"2147483647":                     24 * time.Hour,
		"99999999999999999999":           0,
		"-1":                             0,
		"+1":                             0,
		"1.5":                            0,
		"1s":                             0,
		"soon":                           0,
		"Sun, 01 Nov 2026 12:01:30 GMT":  90 * time.Second,
		"Sunday, 01-Nov-26 12:01:30 GMT": 90 * time.Second,
		"Sun Nov  1 12:01:30 2026":       90 * time.Second,
		"Sun, 01 Nov 2026 11:59:59 GMT":  0,
		"Mon, 01 Nov 2027 12:00:00 GMT":  24 * time.Hour,
		"2026-11-01T12:01:30Z":           0,
	} {
		if got := tokenstore.ParseRetryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, seed := range []string{"1", "-1", now.Format(http.TimeFormat), "9999999999", "Sun, 01 Nov 9999 12:01:30 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d := tokenstore.ParseRetryAfter(value, now); d < 0 || d > 24*time.Hour {
			t.Errorf("%q: %s", value, d)
		}
	})
}

// Gmail's scopes, by their last word.
func gmail(name string) string { return "https://www.googleapis.com/auth/gmail." + name }

const full = "https://mail.google.com/"

func TestCovers(t *testing.T) {
	const email, profile = "https://www.googleapis.com/auth/userinfo.email", "https://www.googleapis.com/auth/userinfo.profile"
	for _, row := range []struct {
		granted string
		wanted  string
		want    bool
	}{
		{"openid", "openid", true},
		{"", "openid", false},
		{email, "email", true},
		{profile, "profile", true},
		{email, "profile", false},
		{"email", "email", true},
		{"email", email, false},
		{full, gmail("modify"), true},
		{full, gmail("readonly"), true},
		{full, gmail("metadata"), true},
		{gmail("modify"), gmail("readonly"), true},
		{gmail("modify"), gmail("metadata"), true},
		{gmail("readonly"), gmail("metadata"), true},
		{gmail("readonly"), gmail("readonly"), true},
		{gmail("metadata"), gmail("readonly"), false},
		{gmail("readonly"), gmail("modify"), false},
		{gmail("modify"), full, false},
		{gmail("labels"), gmail("metadata"), false},
		{full, gmail("send"), false}, // only the listing scopes are ordered
		{full, "openid", false},
		{gmail("readonlyx"), gmail("readonly"), false},
		{"x", "", false},
	} {
		if got := tokenstore.Covers(strings.Fields(row.granted), row.wanted); got != row.want {
			t.Errorf("%s of %s: %t", row.wanted, row.granted, got)
		}
	}
}

func TestScopeSets(t *testing.T) {
	for _, row := range []struct {
		scopes    []string
		list, mix bool
	}{
		{nil, false, false},
		{[]string{"openid", "email"}, false, false},
		{[]string{gmail("labels"), gmail("send")}, false, false},
		{[]string{full}, true, false},
		{[]string{gmail("modify")}, true, false},
		{[]string{gmail("readonly")}, true, false},
		{[]string{gmail("metadata")}, true, false},
		{[]string{gmail("metadata"), gmail("send")}, true, false},
		{[]string{gmail("metadata"), gmail("readonly")}, true, true},
		{[]string{full, "x", gmail("metadata")}, true, true},
	} {
		if got := tokenstore.CanList(row.scopes); got != row.list {
			t.Errorf("CanList(%v): %t", row.scopes, got)
		}
		if got := tokenstore.MixesMetadata(row.scopes); got != row.mix {
			t.Errorf("MixesMetadata(%v): %t", row.scopes, got)
		}
	}
	wanted := []string{"openid", "email", gmail("readonly"), gmail("send")}
	if got := tokenstore.Missing([]string{"openid", full}, wanted); !slices.Equal(got, []string{"email", gmail("send")}) {
		t.Errorf("Missing: %v", got)
	}
	if got := tokenstore.Missing(wanted, wanted); len(got) != 0 {
		t.Errorf("Missing: %v", got)
	}
}

func TestValidUserID(t *testing.T) {
	for sub, want := range map[string]bool{
		"104857600000000000001": true, "a": true, "a.b-c_d": true, strings.Repeat("1", 255): true,
		"": false, strings.Repeat("1", 256): false, "a/b": false, "a b": false, "a\n": false, "é": false, "\x7f": false, "\x00": false, ".": false, "..": false, "__x__": false,
	} {
		if got := tokenstore.ValidUserID(sub); got != want {
			t.Errorf("%.20q: %t", sub, got)
		}
	}
}
