// Package fakecloud stands in for the administration of one Google Cloud
// project: the APIs that gcloud calls when this program is deployed or taken
// down. It is for tests of the deploy scripts with the real gcloud.
//
// THIS IS NOT FOR PRODUCTION: IT CHECKS NO CREDENTIALS. It listens on loopback
// only.
//
// It keeps what is made, and refuses what Google refuses: calls of an API that
// is not enabled, names that are taken, a policy written over a newer one, a
// condition in a policy of an old version, service accounts that do not exist.
// What it doesn't know it answers with 501.
//
// It is also the HTTP proxy of the gcloud it serves, so that nothing leaves this
// machine: a request to anywhere else is refused and shows in [Cloud.Strangers].
package fakecloud
