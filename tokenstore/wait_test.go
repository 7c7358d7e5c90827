package tokenstore

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// How long an answer is held up by a write that does not end: a second, or, where
// a new refresh token would be lost, as long as the caller says.
func TestWait(t *testing.T) {
	for _, tt := range []struct {
		name             string
		storing, rotated bool
		want             time.Duration
	}{
		{"nothing to store", false, false, 0},
		{"an access token", true, false, storeWait},
		{"a new refresh token", true, true, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				token := &Token{rotated: tt.rotated}
				if tt.storing {
					token.stored = make(chan struct{})
				}
				began := time.Now()
				token.Wait(ctx)
				if got := time.Since(began); got != tt.want {
					t.Errorf("waited %s, want %s", got, tt.want)
				}
			})
		})
	}
}
