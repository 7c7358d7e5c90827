package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/seal"
)

var (
	noon     = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	purposes = []seal.Purpose{seal.State, seal.HandOff, seal.Session, seal.Grant}
)

const base = "https://app.example.com/api"

func key(n byte) []byte { return bytes.Repeat([]byte{n}, seal.MinKeyBytes) }

// fixedRing returns a ring with one key, version 3, and a clock that is set
// through the pointer.
func fixedRing(baseURL string) (*seal.Ring, *time.Time) {
	now := noon
	fetch := func(_ context.Context, version string) (int64, []byte, error) {
		if version != seal.Latest && version != "3" {
			return 0, nil, seal.ErrRefused
		}
		return 3, key(3), nil
	}
	return seal.NewRing(fetch, baseURL, func() time.Time { return now }, ignore), &now
}

func mustSeal(t testing.TB, r *seal.Ring, p seal.Purpose, expires time.Time, payload string, owner ...string) string {
	t.Helper()
	value, _, err := r.Seal(t.Context(), p, expires, []byte(payload), owner...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestOpenGivesWhatWasSealed(t *testing.T) {
	ring, _ := fixedRing(base)
	for _, payload := range []string{"", "x", "\x00\xff", strings.Repeat("long ", 1000)} {
		for _, p := range purposes {
			value := mustSeal(t, ring, p, noon.Add(time.Hour), payload, "a", "b")
			o, err := ring.Open(t.Context(), p, value, "a", "b")
			if err != nil || string(o.Payload) != payload {
				t.Fatalf("%s: %q, %v", p, o.Payload, err)
			}
			if !o.Expires.Equal(noon.Add(time.Hour)) || o.Version != 3 || o.Newest != 3 {
				t.Errorf("%s: %+v", p, o)
			}
		}
	}
}

func TestSealedValuesDifferAndShowNothing(t *testing.T) {
	ring, _ := fixedRing(base)
	a := mustSeal(t, ring, seal.Session, time.Time{}, "the payload")
	b := mustSeal(t, ring, seal.Session, time.Time{}, "the payload")
	if a == b {
		t.Error("two sealings of one payload are equal: the nonce is not random")
	}
	version, body, _ := strings.Cut(a, ".")
	box, err := base64.RawURLEncoding.DecodeString(body)
	if version != "3" || err != nil || bytes.Contains(box, []byte("payload")) {
		t.Errorf("%q: %v", a, err)
	}
}

func TestNeverOpensAsAnother(t *testing.T) {
	ring, _ := fixedRing(base)
	owners := [][]string{nil, {""}, {"", ""}, {"a"}, {"b"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab"}, {"b", "a"}, {"a\x01b"}, {"\x01a"}}
	for _, p := range purposes {
		for i, owner := range owners {
			value := mustSeal(t, ring, p, time.Time{}, "secret", owner...)
			for _, q := range purposes {
				for j, other := range owners {
					_, err := ring.Open(t.Context(), q, value, other...)
					if same := p == q && i == j; same != (err == nil) || (err != nil && !errors.Is(err, seal.ErrNotOpened)) {
						t.Errorf("sealed for %s %q, opened for %s %q: %v", p, owner, q, other, err)
					}
				}
			}
		}
	}
}

// One environment's state must not open in another that shares the seal key;
// the grants, which they share too, must.
func TestBaseURLSeparatesAllButGrants(t *testing.T) {
	ours, _ := fixedRing(base)
	theirs, _ := fixedRing("https://staging.example.com/api")
	for _, p := range purposes {
		_, err := theirs.Open(t.Context(), p, mustSeal(t, ours, p, time.Time{}, "x"))
		if p == seal.Grant && err != nil {
			t.Errorf("a grant does not open: %v", err)
		}
		if p != seal.Grant && !errors.Is(err, seal.ErrNotOpened) {
			t.Errorf("%s: %v, want ErrNotOpened", p, err)
		}
	}
}

func TestAnyBitFlipIsNoticed(t *testing.T) {
	ring, _ := fixedRing(base)
	version, body, _ := strings.Cut(mustSeal(t, ring, seal.Session, noon.Add(time.Hour), "payload"), ".")
	box, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range box {
		for bit := range 8 {
			flipped := slices.Clone(box)
			flipped[i] ^= 1 << bit
			value := version + "." + base64.RawURLEncoding.EncodeToString(flipped)
			if _, err := ring.Open(t.Context(), seal.Session, value); !errors.Is(err, seal.ErrNotOpened) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
}

func TestAnyCutIsNoticed(t *testing.T) {
	ring, _ := fixedRing(base)
	value := mustSeal(t, ring, seal.Session, noon.Add(time.Hour), "payload")
	for n := range len(value) {
		for _, cut := range []string{value[:n], value[n+1:], value[:n] + value[n+1:]} {
			if _, err := ring.Open(t.Context(), seal.Session, cut); !errors.Is(err, seal.ErrNotOpened) {
				t.Fatalf("%q: %v", cut, err)
			}
		}
	}
}

// A value has one spelling only. encoding/base64 by itself ignores line breaks,
// and stray bits after the last byte unless it is strict.
func TestStrictForm(t *testing.T) {
	ring, _ := fixedRing(base)
	// 24 + 8 + 1 + 16 bytes: the last character of the body carries two stray bits.
	value := mustSeal(t, ring, seal.Session, noon.Add(time.Hour), "p")
	body := strings.TrimPrefix(value, "3.")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, body[len(body)-1])
	stray := body[:len(body)-1] + string(alphabet[last+1])

	for _, other := range []string{
		"", ".", "3", "3.", "." + body, body,
		"03." + body, "+3." + body, " 3." + body, "3 ." + body, "-3." + body, "0." + body, "3.0." + body, "0x3." + body, "٣." + body,
		"9223372036854775807." + body, "9223372036854775808." + body, strings.Repeat("9", 400) + "." + body,
		"latest." + body,
		value + "=", value + "==", value + "\n", value + "\r\n", value + " ", " " + value, value + ".", value + "A",
		value[:20] + "\n" + value[20:], value[:20] + "\r" + value[20:], "3." + stray,
		"3." + strings.NewReplacer("-", "+", "_", "/").Replace(body) + "+",
	} {
		if _, err := ring.Open(t.Context(), seal.Session, other); !errors.Is(err, seal.ErrNotOpened) {
			t.Errorf("%.80q: %v", other, err)
		}
	}
	if _, err := ring.Open(t.Context(), seal.Session, value); err != nil {
		t.Errorf("the value itself: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	ring, now := fixedRing(base)
	expires := noon.Add(30 * time.Minute)
	value := mustSeal(t, ring, seal.State, expires, "x")
	for _, row := range []struct {
		at   time.Time
		want error
	}{
		{noon, nil},
		{expires.Add(-time.Nanosecond), nil},
		{expires, seal.ErrExpired},
		{expires.Add(time.Nanosecond), seal.ErrExpired},
		{expires.AddDate(10, 0, 0), seal.ErrExpired},
	} {
		*now = row.at
		o, err := ring.Open(t.Context(), seal.State, value)
		if !errors.Is(err, row.want) {
			t.Errorf("at %s: %v, want %v", row.at, err, row.want)
		}
		if string(o.Payload) != "x" { // genuine, so it is given even when expired
			t.Errorf("at %s: payload %q", row.at, o.Payload)
		}
	}
}

func TestNoExpiry(t *testing.T) {
	ring, now := fixedRing(base)
	value := mustSeal(t, ring, seal.Grant, time.Time{}, "x")
	*now = noon.AddDate(100, 0, 0)
	if o, err := ring.Open(t.Context(), seal.Grant, value); err != nil || !o.Expires.IsZero() {
		t.Errorf("%+v, %v", o, err)
	}
}

// An expired value for another purpose or owner is not told apart from garbage.
func TestExpiredIsSaidOnlyOfGenuineValues(t *testing.T) {
	ring, now := fixedRing(base)
	value := mustSeal(t, ring, seal.State, noon.Add(time.Minute), "x")
	*now = noon.Add(time.Hour)
	if _, err := ring.Open(t.Context(), seal.HandOff, value); !errors.Is(err, seal.ErrNotOpened) {
		t.Errorf("other purpose: %v", err)
	}
	if _, err := ring.Open(t.Context(), seal.State, value, "other"); !errors.Is(err, seal.ErrNotOpened) {
		t.Errorf("other owner: %v", err)
	}
}

// FuzzOpen: whatever opens was sealed by us, in the one spelling it has.
func FuzzOpen(f *testing.F) {
	ring, _ := fixedRing(base)
	for i, p := range purposes {
		value, _, err := ring.Seal(context.Background(), p, noon.Add(time.Hour), fmt.Appendf(nil, "ours %d", i))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
		f.Add(value + "\n")
	}
	f.Add("3." + strings.Repeat("A", 64))
	f.Fuzz(func(t *testing.T, value string) {
		for i, p := range purposes {
			o, err := ring.Open(t.Context(), p, value)
			if errors.Is(err, seal.ErrNotOpened) {
				continue
			}
			if err != nil {
				t.Fatalf("%v, want ErrNotOpened", err)
			}
			if want := fmt.Sprintf("ours %d", i); string(o.Payload) != want {
				t.Fatalf("opened as %s: %q, want %q", p, o.Payload, want)
			}
			box, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(value, "3."))
			if value != "3."+base64.RawURLEncoding.EncodeToString(box) {
				t.Fatalf("opened in another spelling: %q", value)
			}
		}
	})
}
