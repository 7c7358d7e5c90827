package fakegoogle

import (
	"slices"
	"strings"
)

// Scopes that mean something to this package.
const (
	scopeOpenID    = "openid"
	scopeEmail     = "https://www.googleapis.com/auth/userinfo.email"
	scopeProfile   = "https://www.googleapis.com/auth/userinfo.profile"
	scopeMail      = "https://mail.google.com/"
	scopeModify    = "https://www.googleapis.com/auth/gmail.modify"
	scopeReadonly  = "https://www.googleapis.com/auth/gmail.readonly"
	scopeMetadata  = "https://www.googleapis.com/auth/gmail.metadata"
	scopeLabels    = "https://www.googleapis.com/auth/gmail.labels"
	scopeCompose   = "https://www.googleapis.com/auth/gmail.compose"
	scopeSend      = "https://www.googleapis.com/auth/gmail.send"
	scopeInsert    = "https://www.googleapis.com/auth/gmail.insert"
	scopeSettings  = "https://www.googleapis.com/auth/gmail.settings.basic"
	scopeCalendar  = "https://www.googleapis.com/auth/calendar.readonly"
	scopeContacts  = "https://www.googleapis.com/auth/contacts.readonly"
	scopeDriveFile = "https://www.googleapis.com/auth/drive.file"
)

// knownScopes are the scopes the consent page can describe, by their long name.
// Any other is an invalid_scope.
var knownScopes = map[string]string{
	scopeOpenID:    "Associate you with your personal info",
	scopeEmail:     "See your primary e-mail address",
	scopeProfile:   "See your personal info",
	scopeMail:      "Read, compose, send and permanently delete all your e-mail",
	scopeModify:    "Read, compose and send e-mail",
	scopeReadonly:  "View your e-mail messages and settings",
	scopeMetadata:  "View your e-mail message metadata, such as labels and headers, but not the body",
	scopeLabels:    "See and edit your e-mail labels",
	scopeCompose:   "Manage drafts and send e-mail",
	scopeSend:      "Send e-mail on your behalf",
	scopeInsert:    "Add e-mail to your mailbox",
	scopeSettings:  "See and edit your mail settings and filters",
	scopeCalendar:  "See your calendars",
	scopeContacts:  "See your contacts",
	scopeDriveFile: "See and edit the Drive files you use with this app",
}

// signInScopes are granted without a box to tick.
var signInScopes = []string{scopeOpenID, scopeEmail, scopeProfile}

// parseScopes splits a scope parameter (RFC 6749, section 3.3) into long names
// without repeats. It reports false when a scope is unknown or there is none.
func parseScopes(s string) ([]string, bool) {
	var scopes []string
	for _, name := range strings.Fields(s) {
		name = longScope(name)
		if _, ok := knownScopes[name]; !ok {
			return nil, false
		}
		if !slices.Contains(scopes, name) {
			scopes = append(scopes, name)
		}
	}
	return scopes, len(scopes) > 0
}

// longScope is the name under which token answers speak of a scope.
func longScope(name string) string {
	switch name {
	case "email":
		return scopeEmail
	case "profile":
		return scopeProfile
	default:
		return name
	}
}

func isSignInScope(scope string) bool { return slices.Contains(signInScopes, scope) }

// union adds to a what b has and a lacks.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func containsAll(have, want []string) bool {
	for _, v := range want {
		if !slices.Contains(have, v) {
			return false
		}
	}
	return true
}

func containsAny(have []string, want ...string) bool {
	return slices.ContainsFunc(want, func(v string) bool { return slices.Contains(have, v) })
}
