//go:build browser

package main

import "testing"

func TestChromiumCookieWay(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.connect(ben)
	tb.wantCleanAddress(p)
	if tb.rows() == 0 {
		t.Error("no messages")
	}
}
