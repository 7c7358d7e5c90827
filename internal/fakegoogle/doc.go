// Package fakegoogle stands in for the parts of Google this program talks to:
// the OAuth 2.0 endpoints with a consent page and the script that opens it in a
// popup, Gmail with its batch endpoint, Secret Manager and Firestore.
//
// THIS IS NOT FOR PRODUCTION. IT HOLDS NO REAL MAIL, CHECKS NO PASSWORD, LETS
// ANYBODY SIGN IN AS ANYBODY, AND ACCEPTS ANY CALLER OF ITS SECRETS AND
// DOCUMENTS. It listens on loopback only and refuses to start anywhere else.
//
// What it stands in for is the wire, never a Go type: the official client
// libraries talk to it unchanged. It is as strict as Google where clients go
// wrong (single-use codes, exact redirect URIs, PKCE, page tokens that belong to
// their query), and what it doesn't know it refuses instead of guessing.
// Misbehaviour comes on demand: see [Server.Inject].
//
// Everything is served on one port: HTTP/1.1, unencrypted HTTP/2 and gRPC.
package fakegoogle
