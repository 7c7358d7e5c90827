// Package tokenstore keeps what a user granted: it reads the OAuth client
// secret and the seal key from Secret Manager, keeps one sealed grant a user in
// Firestore, keyed by the Google user ID, and hands out access tokens.
//
// A [Store] does no I/O until it is used, and none of its failures is kept: the
// next call tries again. Every call that leaves the process has a deadline.
package tokenstore
