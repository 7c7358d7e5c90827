package fakegoogle

import (
	"strings"
	"testing"
	"time"
)

var queryTime = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func sampleMessage() *message {
	return &message{
		id:         "18c0000000000000",
		date:       time.Date(2026, 10, 20, 7, 59, 59, 0, time.UTC), // 19 October, a second to midnight, in PST
		labels:     []string{labelInbox, labelUnread, labelImportant, labelTravel},
		from:       person{"Zoë van Dijk", "zoe.vandijk@example.org"},
		to:         person{"Ada Brook", "ada.brook@example.com"},
		subject:    "Re: Café near the station",
		paragraphs: []string{"The train arrives at ten past nine.", "Call me!"},
		attachment: "notes-7.pdf",
	}
}

func TestQuery(t *testing.T) {
	tests := []struct {
		q    string
		want bool
	}{
		{"", true},
		{"train", true},
		{"TRAIN nine", true},
		{"train plane", false},
		{"trai", false},
		{"café", true},
		{"zoe.vandijk@example.org", true},
		{`"arrives at ten"`, true},
		{`"at arrives"`, false},
		{`-"arrives at ten"`, false},
		{"-plane", true},
		{"-train", false},
		{"plane OR train", true},
		{"plane OR boat", false},
		{"plane OR train boat", false}, // OR binds first
		{"train plane OR boat OR nine", true},
		{"or", false},
		{"{plane train}", true},
		{"{plane boat}", false},
		{"{plane {boat train}} nine", true},
		{"{plane boat} OR nine", true},
		{"from:zoe.vandijk", true},
		{`from:"zoë van dijk"`, true},
		{"from:ada", false},
		{"FROM:Zoë", true},
		{"to:ada.brook@example.com", true},
		{"subject:station", true},
		{"subject:train", false},
		{`subject:"near the station"`, true},
		{"-subject:train", true},
		{"is:unread", true},
		{"is:read", false},
		{"is:starred", false},
		{"is:important", true},
		{"label:travel", true},
		{"label:Label_2", true},
		{"label:inbox", true},
		{"label:work", false},
		{"label:nosuch", false},
		{"in:inbox", true},
		{"in:sent", false},
		{"in:anywhere", true},
		{"has:attachment", true},
		{"-has:attachment", false},
		{"after:2026/10/19", true},
		{"after:2026/10/20", false},
		{"before:2026/10/20", true},
		{"before:2026-10-19", false},
		{"after:1792483199", true},
		{"after:1792483200", false},
		{"newer_than:14d", true},
		{"newer_than:13d", false},
		{"older_than:13d", true},
		{"newer_than:1m", true},
		{"older_than:1y", false},
		{"is:unread from:zoë after:2026/01/01 -in:sent", true},
	}
	for _, tt := range tests {
		t.Run(tt.q, func(t *testing.T) {
			q, err := parseQuery(tt.q, queryTime)
			if err != nil {
				t.Fatal(err)
			}
			if got := q.match == nil || q.match(sampleMessage()); got != tt.want {
				t.Errorf("matches: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestQueryRefused(t *testing.T) {
	for _, q := range []string{
		"rfc822msgid:x", "is:chatty", "in:drafts", "has:drive", "has:userlabels", "after:yesterday", "before:2026/13/01",
		"newer_than:7", "newer_than:d", "older_than:7w", "from:", ":x", `"open`, `""`, "OR", "a OR", "OR a", "a OR OR b",
		"{a", "a}", "}", "(a b)", "subject:(a b)", "-", "!!", strings.Repeat("a ", maxQueryTerms+1),
	} {
		t.Run(q, func(t *testing.T) {
			if _, err := parseQuery(q, queryTime); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// FuzzQuery checks that a negated word is the opposite of the word, whatever
// stands around it, and that nothing panics.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"a OR b", `from:"x y" -{a b}`, "after:2026/1/1", "newer_than:7d", "label:Label_1", `-is:read "`, "in:SPAM"} {
		f.Add(q)
	}
	msg := sampleMessage()
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parseQuery(s, queryTime)
		if err != nil || q.match == nil {
			return
		}
		both, err := parseQuery(s+" train", queryTime) // a word the sample contains
		if err != nil {
			if len(s) < maxQueryTerms {
				t.Fatalf("%q is accepted, but not with another word: %v", s, err)
			}
			return
		}
		if q.match(msg) != both.match(msg) {
			t.Errorf("%q changes its meaning with another word that matches", s)
		}
	})
}
