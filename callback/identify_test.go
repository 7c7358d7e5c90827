package callback

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/tokenstore"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// idToken is a JWT with these claims. Its signature is not looked at: it comes
// straight from the token endpoint.
func idToken(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln"
}

func TestIdentify(t *testing.T) {
	const google, standIn = "https://accounts.google.com", "http://127.0.0.1:9000"
	good := map[string]any{"iss": google, "aud": "client", "exp": noon.Unix() + 3600, "sub": "1234", "email": "ada@example.com", "name": "Ada", "picture": "https://example.com/ada"}
	for _, row := range []struct {
		name   string
		issuer string
		change map[string]any // nil takes the claim away
		ok     bool
	}{
		{"good", google, nil, true},
		{"Google's short issuer", google, map[string]any{"iss": "accounts.google.com"}, true},
		{"with a slash", google, map[string]any{"iss": google + "/"}, false},
		{"http issuer", google, map[string]any{"iss": "http://accounts.google.com"}, false},
		{"other issuer", google, map[string]any{"iss": "https://evil.example"}, false},
		{"no issuer", google, map[string]any{"iss": nil}, false},
		{"the stand-in's issuer", standIn, map[string]any{"iss": standIn}, true},
		{"the stand-in's issuer for Google's client", google, map[string]any{"iss": standIn}, false},
		{"Google's issuer for the stand-in's client", standIn, nil, false},
		{"Google's short issuer for the stand-in's client", standIn, map[string]any{"iss": "accounts.google.com"}, false},
		{"other audience", google, map[string]any{"aud": "other"}, false},
		{"no audience", google, map[string]any{"aud": nil}, false},
		{"two audiences", google, map[string]any{"aud": []string{"client", "other"}}, false},
		{"a second left", google, map[string]any{"exp": noon.Unix() + 1}, true},
		{"expired now", google, map[string]any{"exp": noon.Unix()}, false},
		{"expired", google, map[string]any{"exp": noon.Unix() - 1}, false},
		{"no exp", google, map[string]any{"exp": nil}, false},
		{"exp as a string", google, map[string]any{"exp": "9999999999"}, false},
		{"no sub", google, map[string]any{"sub": nil}, false},
		{"empty sub", google, map[string]any{"sub": ""}, false},
		{"sub with a slash", google, map[string]any{"sub": "a/b"}, false},
		{"sub of 255", google, map[string]any{"sub": strings.Repeat("1", 255)}, true},
		{"sub of 256", google, map[string]any{"sub": strings.Repeat("1", 256)}, false},
		{"sub as a number", google, map[string]any{"sub": 1234}, false},
		{"sub not ASCII", google, map[string]any{"sub": "é"}, false},
		{"no profile", google, map[string]any{"email": nil, "name": nil, "picture": nil}, true},
		{"profile of other types", google, map[string]any{"email": 1, "name": true, "picture": []string{"x"}}, true},
	} {
		claims := maps.Clone(good)
		for name, value := range row.change {
			claims[name] = value
			if value == nil {
				delete(claims, name)
			}
		}
		h := &Handler{now: func() time.Time { return noon }}
		sub, profile, err := h.identify(&tokenstore.Authorization{IDToken: idToken(t, claims), ClientID: "client", Issuer: row.issuer})
		if row.ok != (err == nil) {
			t.Errorf("%s: %v", row.name, err)
		}
		if row.ok && sub != claims["sub"] || !row.ok && (sub != "" || profile != tokenstore.Profile{}) {
			t.Errorf("%s: %q %+v", row.name, sub, profile)
		}
		if email, ok := claims["email"].(string); row.ok && ok && profile != (tokenstore.Profile{Email: email, Name: "Ada", Picture: "https://example.com/ada"}) {
			t.Errorf("%s: %+v", row.name, profile)
		}
	}
}

func TestIdentifyMalformed(t *testing.T) {
	h := &Handler{now: func() time.Time { return noon }}
	for _, token := range []string{"", "x", "..", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30", "e30.bnVsbA.e30", "e30.W10.e30", "e30.!!!.e30", strings.Repeat(".", 1000)} {
		if sub, _, err := h.identify(&tokenstore.Authorization{IDToken: token, ClientID: "client", Issuer: googleIssuer}); err == nil {
			t.Errorf("%q: %q", token, sub)
		}
	}
}

// FuzzIdentify: nobody is identified by a token whose claims do not say so.
func FuzzIdentify(f *testing.F) {
	f.Add("e30.eyJpc3MiOiJhY2NvdW50cy5nb29nbGUuY29tIn0.x")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		h := &Handler{now: func() time.Time { return noon }}
		sub, _, err := h.identify(&tokenstore.Authorization{IDToken: token, ClientID: "client", Issuer: googleIssuer})
		if (err == nil) != tokenstore.ValidUserID(sub) {
			t.Fatalf("%q: %q, %v", token, sub, err)
		}
	})
}

func TestValidCode(t *testing.T) {
	for code, want := range map[string]bool{
		"4/0AeanS0-_x": true, "x": true, strings.Repeat("x", 512): true,
		"": false, strings.Repeat("x", 513): false, "a b": false, "a\n": false, "a\r\nb": false, "a\x00": false, "é": false, "\x7f": false,
	} {
		if got := validCode(code); got != want {
			t.Errorf("%.20q: %t", code, got)
		}
	}
}
