package seal_test

import (
	"strings"
	"testing"
	"time"

	"example.com/gmailgrant/internal/seal"
)

// statePayload is as long as that of a state with everything in it.
var statePayload = strings.Repeat("x", 400)

func BenchmarkSeal(b *testing.B) {
	r, now := fixedRing("https://a.example")
	expires := now.Add(time.Minute)
	payload := []byte(statePayload)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Seal(b.Context(), seal.State, expires, payload, "owner"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	r, now := fixedRing("https://a.example")
	value := mustSeal(b, r, seal.State, now.Add(time.Minute), statePayload, "owner")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(b.Context(), seal.State, value, "owner"); err != nil {
			b.Fatal(err)
		}
	}
}
