package tokenstore

import "slices"

// Gmail scopes that can list messages, each broader than the next.
var listingScopes = []string{
	"https://mail.google.com/",
	"https://www.googleapis.com/auth/gmail.modify",
	"https://www.googleapis.com/auth/gmail.readonly",
	MetadataScope,
}

// MetadataScope is the Gmail scope that allows neither a query nor a body.
const MetadataScope = "https://www.googleapis.com/auth/gmail.metadata"

// longNames are the scopes that Google answers under another name than the one
// asked for.
var longNames = map[string]string{
	"email":   "https://www.googleapis.com/auth/userinfo.email",
	"profile": "https://www.googleapis.com/auth/userinfo.profile",
}

// Covers reports whether the granted scopes include wanted, by its own name, by
// Google's long name for it, or by a broader Gmail scope.
func Covers(granted []string, wanted string) bool {
	if slices.Contains(granted, wanted) || slices.Contains(granted, longNames[wanted]) {
		return true
	}
	for _, broader := range listingScopes[:max(0, slices.Index(listingScopes, wanted))] {
		if slices.Contains(granted, broader) {
			return true
		}
	}
	return false
}

// CanList reports whether one of the scopes allows listing messages.
func CanList(scopes []string) bool {
	return slices.ContainsFunc(listingScopes, func(s string) bool { return slices.Contains(scopes, s) })
}

// Missing returns the wanted scopes that are not granted, in their order.
func Missing(granted, wanted []string) []string {
	var missing []string
	for _, w := range wanted {
		if !Covers(granted, w) {
			missing = append(missing, w)
		}
	}
	return missing
}

// MixesMetadata reports whether MetadataScope stands beside a broader Gmail
// scope: Gmail refuses a query to any token that holds it.
func MixesMetadata(scopes []string) bool {
	if !slices.Contains(scopes, MetadataScope) {
		return false
	}
	return slices.ContainsFunc(listingScopes, func(s string) bool { return s != MetadataScope && slices.Contains(scopes, s) })
}
